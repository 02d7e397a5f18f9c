#include <cmath>

#include "cineflow/polar.h"
#include "cuda/dispatch.h"
#include "cuda/launch.h"
#include "cuda/sample_pixel.h"
#include "math/polar.h"

namespace cineflow {
namespace {

constexpr double kTurn = 6.283185307179586477;

/// Where an output pixel of polar_resample is sampled.
struct AlongRays {
  double first_turn, turn_step;
  float first_radius, radius_step;

  __device__ void locate(float centre_x, float centre_y, int row, int column, float& x,
                         float& y) const {
    const double turn = first_turn + row * turn_step;
    // Reduced in f64, so that a large first angle costs no accuracy; the rest is f32.
    float across;
    float down;
    sincospif(static_cast<float>(2.0 * (turn - rint(turn))), &down, &across);
    const float radius = first_radius + static_cast<float>(column) * radius_step;
    x = centre_x + radius * across;
    y = centre_y + radius * down;
  }
};

/// The same for polar_unresample: x counts radii, y angles.
struct AroundCentre {
  AngularGrid grid;
  float first_radius, samples_per_pixel;

  __device__ void locate(float centre_x, float centre_y, int row, int column, float& x,
                         float& y) const {
    const float across = static_cast<float>(column) - centre_x;
    const float down = static_cast<float>(row) - centre_y;
    x = (sqrtf(across * across + down * down) - first_radius) * samples_per_pixel;
    y = angular_sample(angle_of(across, down), grid);
  }
};

template <typename Source, typename Result, typename Locator>
__global__ void __launch_bounds__(kBlockX* kBlockY)
    polar_kernel(PolarArgs args, Locator locator, bool wraps, std::int64_t tasks,
                 std::int64_t slabs) {
  const TensorView& centre = args.centre;
  const TensorView& out = args.out;
  const int x = blockIdx.x * kBlockX + threadIdx.x;
  const int y = blockIdx.y * kBlockY + threadIdx.y;
  if (x >= out.sizes[3] || y >= out.sizes[2]) return;
  for (std::int64_t task = blockIdx.z; task < tasks; task += gridDim.z) {
    const std::int64_t image = task / slabs;
    const float* middle = static_cast<const float*>(centre.data) +
                          (centre.sizes[0] == 1 ? 0 : image * centre.strides[0]);
    float column;
    float row;
    locator.locate(middle[0], middle[centre.strides[1]], y, x, column, row);
    const Taps taps = taps_at(args.src, column, row, args.border, wraps);
    sample_slab<Source>(
        args.src, taps, image, task % slabs, [&](std::int64_t channel, float value) {
          store_pixel<Result>(out, image, channel, y, x, args.offset + args.scale * value);
        });
  }
}

template <typename Locator>
Status resample(const char* name, const PolarArgs& args, const Locator& locator, bool wraps,
                void* stream) noexcept {
  const std::int64_t tasks = slab_tasks(args.out);
  const dim3 grid(blocks_for(args.out.sizes[3], kBlockX), blocks_for(args.out.sizes[2], kBlockY),
                  static_cast<unsigned>(tasks < kMaxGridY ? tasks : kMaxGridY));
  Status status;
  status = for_source(args.src.dtype, [&](auto source) {
    return for_float(args.out.dtype, [&](auto result) {
      using Source = typename decltype(source)::Type;
      using Result = typename decltype(result)::Type;
      return launch(name, Grid{grid, dim3(kBlockX, kBlockY)}, stream,
                    &polar_kernel<Source, Result, Locator>, args, locator, wraps, tasks,
                    tasks / args.out.sizes[0]);
    });
  });
  return status;
}

}  // namespace

Status polar_resample_cuda(const PolarArgs& args, void* stream) noexcept {
  const Status status = check_polar_resample(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const AlongRays locator{args.first_angle / kTurn, args.angle_step / kTurn,
                          static_cast<float>(args.first_radius),
                          static_cast<float>(args.radius_step)};
  return resample("polar_resample", args, locator, false, stream);
}

Status polar_unresample_cuda(const PolarArgs& args, void* stream) noexcept {
  const Status status = check_polar_unresample(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const AroundCentre locator{
      angular_grid(args.first_angle, args.angle_step, args.src.sizes[2], args.wraps),
      static_cast<float>(args.first_radius), static_cast<float>(1.0 / args.radius_step)};
  return resample("polar_unresample", args, locator, args.wraps, stream);
}

}  // namespace cineflow
