#include <cmath>

#include "cineflow/polar.h"
#include "cuda/grid_sampling.h"

namespace cineflow {
namespace {

/// The centres of the groups.
struct Centres {
  const float* first;
  std::int64_t stride, y_stride;

  explicit Centres(const TensorView& centre)
      : first(static_cast<const float*>(centre.data)),
        stride(centre.strides[0]),
        y_stride(centre.strides[1]) {}

  __device__ Centre of(std::int64_t group) const {
    const float* centre = first + group * stride;
    return {centre[0], centre[y_stride]};
  }
};

/// Polar from Cartesian. Angles are counted in turns, because the fraction of a turn is exact in
/// double for any angle. The rest is f32, since f64 is slow on most devices.
struct ToPolar {
  static constexpr bool kWraps = false;
  Centres centres;
  double first_turn, turn_step;
  float first_radius, radius_step;

  __device__ Point operator()(std::int64_t group, int row, int column) const {
    double turn = first_turn + row * turn_step;
    turn -= rint(turn);
    float sine;
    float cosine;
    sincospif(static_cast<float>(2.0 * turn), &sine, &cosine);
    const float radius = first_radius + static_cast<float>(column) * radius_step;
    const Centre centre = centres.of(group);
    return {centre.x + radius * cosine, centre.y + radius * sine};
  }
};

/// Cartesian from polar. kWraps: the row after the last angle is the first.
template <bool kPeriodic>
struct ToCartesian {
  static constexpr bool kWraps = kPeriodic;
  Centres centres;
  PolarPositions positions;

  __device__ Point operator()(std::int64_t group, int row, int column) const {
    const Centre centre = within_reach(centres.of(group));
    return positions.at(static_cast<float>(column) - centre.x, static_cast<float>(row) - centre.y);
  }
};

GridSampling sampling_of(const PolarArgs& args) noexcept {
  return {args.src, args.out, args.border, args.scale, args.offset};
}

bool is_shared(const PolarArgs& args) noexcept { return args.centre.sizes[0] == 1; }

}  // namespace

Status polar_resample_cuda(const PolarArgs& args, void* stream) noexcept {
  const Status status = check_polar_resample(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  constexpr double kTurn = 6.283185307179586477;
  const ToPolar map{Centres(args.centre), args.first_angle / kTurn, args.angle_step / kTurn,
                    static_cast<float>(args.first_radius), static_cast<float>(args.radius_step)};
  return launch_resample("polar_resample", sampling_of(args), is_shared(args), map, stream);
}

Status polar_unresample_cuda(const PolarArgs& args, void* stream) noexcept {
  const Status status = check_polar_unresample(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const PolarPositions positions{
      angular_grid(args.first_angle, args.angle_step, args.src.sizes[2], args.wraps),
      static_cast<float>(args.first_radius), static_cast<float>(1.0 / args.radius_step)};
  const Centres centres(args.centre);
  const GridSampling sampling = sampling_of(args);
  // A source without rows cannot wrap: every sample lies outside.
  if (args.wraps && args.src.sizes[2] > 0) {
    const ToCartesian<true> map{centres, positions};
    return launch_resample("polar_unresample", sampling, is_shared(args), map, stream);
  }
  const ToCartesian<false> map{centres, positions};
  return launch_resample("polar_unresample", sampling, is_shared(args), map, stream);
}

}  // namespace cineflow
