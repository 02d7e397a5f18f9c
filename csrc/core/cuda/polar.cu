#include <cmath>

#include "cineflow/polar.h"
#include "cuda/corners.h"
#include "cuda/launch.h"
#include "math/dispatch.h"
#include "math/polar.h"

namespace cineflow {
namespace {

constexpr int kBlockX = 32;
constexpr int kBlockY = 8;
constexpr int kThreads = kBlockX * kBlockY;
constexpr int kSlab = 8;  // planes of one thread: channels, or frames that share a centre

struct Point {
  float x, y;  // column and row of the source, in its pixels
};

/// Polar from Cartesian. Angles are counted in turns, because the fraction of a turn is exact in
/// double for any angle. The rest is f32, since f64 is slow on most devices.
struct ToPolar {
  static constexpr bool kWraps = false;
  double first_turn, turn_step;
  float first_radius, radius_step;

  __device__ Point operator()(float centre_x, float centre_y, int row, int column) const {
    double turn = first_turn + row * turn_step;
    turn -= rint(turn);
    float sine;
    float cosine;
    sincospif(static_cast<float>(2.0 * turn), &sine, &cosine);
    const float radius = first_radius + static_cast<float>(column) * radius_step;
    return {centre_x + radius * cosine, centre_y + radius * sine};
  }
};

/// Cartesian from polar. kWraps: the row after the last angle is the first.
template <bool kPeriodic>
struct ToCartesian {
  static constexpr bool kWraps = kPeriodic;
  AngularGrid grid;
  float first_radius, samples_per_pixel;

  __device__ Point operator()(float centre_x, float centre_y, int row, int column) const {
    const Centre centre = within_reach({centre_x, centre_y});
    const float x = static_cast<float>(column) - centre.x;
    const float y = static_cast<float>(row) - centre.y;
    const float radius = sqrtf(x * x + y * y);
    return {(radius - first_radius) * samples_per_pixel, angular_sample(angle_of(x, y), grid)};
  }
};

template <bool kWraps>
__device__ Corners corners_at(const PolarArgs& args, const Point& point) {
  const TensorView& src = args.src;
  const auto rows = static_cast<std::int32_t>(src.sizes[2]);
  const auto column = tap_at(point.x, static_cast<std::int32_t>(src.sizes[3]), args.border);
  // On an axis that is one pixel longer, the wrapped neighbour lies inside.
  const auto row =
      kWraps ? tap_at(point.y, rows + 1, Border::kZeros) : tap_at(point.y, rows, args.border);
  Corners corners = corners_of(row, column, static_cast<std::int32_t>(src.strides[2]),
                               static_cast<std::int32_t>(src.strides[3]));
  if (kWraps) {
    const auto turn = static_cast<std::uint32_t>(rows) * static_cast<std::uint32_t>(src.strides[2]);
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
      if (row.low + corner / 2 == rows) {
        corners.offset[corner] =
            static_cast<std::int32_t>(static_cast<std::uint32_t>(corners.offset[corner]) - turn);
      }
    }
  }
  return corners;
}

/// One thread per output pixel and slab of planes. Where all frames share a centre, the N x C
/// planes form one group; otherwise each frame is a group of its own.
template <typename Source, typename Result, typename Map>
__global__ void __launch_bounds__(kThreads)
    resample(PolarArgs args, Map map, int tiles_across, std::int64_t groups, int group_planes) {
  const TensorView& src = args.src;
  const TensorView& centre = args.centre;
  const TensorView& out = args.out;
  const int x = static_cast<int>(blockIdx.x % tiles_across * kBlockX + threadIdx.x);
  const int y = static_cast<int>(blockIdx.x / tiles_across * kBlockY + threadIdx.y);
  if (x >= out.sizes[3] || y >= out.sizes[2]) return;

  const int slabs = (group_planes + kSlab - 1) / kSlab;
  for (std::int64_t task = blockIdx.y; task < groups * slabs; task += gridDim.y) {
    const std::int64_t group = task / slabs;
    const int first = static_cast<int>(task % slabs) * kSlab;
    const int last = first + kSlab < group_planes ? first + kSlab : group_planes;
    const float* middle = static_cast<const float*>(centre.data) + group * centre.strides[0];
    const Corners corners =
        corners_at<Map::kWraps>(args, map(middle[0], middle[centre.strides[1]], y, x));
    for (int plane = first; plane < last; ++plane) {
      const std::int64_t number = group * group_planes + plane;
      const std::int64_t image = number / src.sizes[1];
      const std::int64_t channel = number % src.sizes[1];
      const Source* from =
          static_cast<const Source*>(src.data) + image * src.strides[0] + channel * src.strides[1];
      Result* to = static_cast<Result*>(out.data) + image * out.strides[0] +
                   channel * out.strides[1] + y * out.strides[2] + x * out.strides[3];
      *to = from_float<Result>(args.scale * sample_corners(from, corners) + args.offset);
    }
  }
}

template <typename Map>
Status launch_resample(const char* name, const PolarArgs& args, const Map& map,
                       void* stream) noexcept {
  const TensorView& out = args.out;
  const bool shared = args.centre.sizes[0] == 1;
  const std::int64_t planes = shared ? out.sizes[0] * out.sizes[1] : out.sizes[1];
  const std::int64_t groups = shared ? 1 : out.sizes[0];
  const std::int64_t across = ceil_div(out.sizes[3], kBlockX);
  Grid grid;
  grid.threads = dim3(kBlockX, kBlockY);
  grid.blocks = dim3(static_cast<unsigned>(across * ceil_div(out.sizes[2], kBlockY)),
                     grid_y(groups * ceil_div(planes, kSlab)));
  return with_storage(args.src.dtype, [&](auto source) {
    return with_float_storage(out.dtype, [&](auto result) {
      using Source = typename decltype(source)::type;
      using Result = typename decltype(result)::type;
      return launch(name, grid, args.out.device_index, stream, resample<Source, Result, Map>, args,
                    map, static_cast<int>(across), groups, static_cast<int>(planes));
    });
  });
}

}  // namespace

Status polar_resample_cuda(const PolarArgs& args, void* stream) noexcept {
  const Status status = check_polar_resample(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  constexpr double kTurn = 6.283185307179586477;
  const ToPolar map{args.first_angle / kTurn, args.angle_step / kTurn,
                    static_cast<float>(args.first_radius), static_cast<float>(args.radius_step)};
  return launch_resample("polar_resample", args, map, stream);
}

Status polar_unresample_cuda(const PolarArgs& args, void* stream) noexcept {
  const Status status = check_polar_unresample(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const AngularGrid grid =
      angular_grid(args.first_angle, args.angle_step, args.src.sizes[2], args.wraps);
  const auto first_radius = static_cast<float>(args.first_radius);
  const auto samples_per_pixel = static_cast<float>(1.0 / args.radius_step);
  // A source without rows cannot wrap: every sample lies outside.
  if (args.wraps && args.src.sizes[2] > 0) {
    const ToCartesian<true> map{grid, first_radius, samples_per_pixel};
    return launch_resample("polar_unresample", args, map, stream);
  }
  const ToCartesian<false> map{grid, first_radius, samples_per_pixel};
  return launch_resample("polar_unresample", args, map, stream);
}

}  // namespace cineflow
