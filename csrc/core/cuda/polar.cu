#include <cmath>
#include <cstdint>

#include "cineflow/polar.h"
#include "cuda/grid_sampling.h"

namespace cineflow {
namespace {

/// The centres of the groups. One centre in the CPU's memory is passed by value, which copies
/// nothing to the device and stays valid in a captured graph.
struct Centres {
  const float* first = nullptr;  // null: `value` is the centre of all groups
  std::int64_t stride = 0, y_stride = 0;
  Centre value{};

  explicit Centres(const TensorView& centre) {
    const auto* data = static_cast<const float*>(centre.data);
    if (centre.device == Device::kCpu) {
      value = {data[0], data[centre.strides[1]]};
      return;
    }
    first = data;
    stride = centre.sizes[0] == 1 ? 0 : centre.strides[0];
    y_stride = centre.strides[1];
  }

  __device__ Centre of(std::int64_t group) const {
    if (first == nullptr) return value;
    const float* centre = first + group * stride;
    return {centre[0], centre[y_stride]};
  }
};

/// Polar from Cartesian. Angles are counted in 2^-64 of a turn, so that whole turns vanish exactly,
/// without f64, which is slow on most devices.
struct ToPolar {
  static constexpr bool kWraps = false;
  static constexpr bool kGivesBytes = false;
  Centres centres;
  std::uint64_t first_turn, turn_step;
  float first_radius, radius_step;

  __device__ Point operator()(std::int64_t group, int row, int column) const {
    const std::uint64_t turn = first_turn + static_cast<std::uint64_t>(row) * turn_step;
    float sine;
    float cosine;
    sincospif(static_cast<float>(static_cast<std::int64_t>(turn)) * 0x1p-63f, &sine, &cosine);
    const float radius = first_radius + static_cast<float>(column) * radius_step;
    const Centre centre = centres.of(group);
    return {centre.x + radius * cosine, centre.y + radius * sine};
  }
};

/// An angle in 2^-64 of a turn.
std::uint64_t turns_of(double radians) noexcept {
  constexpr double kTurn = 6.283185307179586477;
  double turns = radians / kTurn;
  turns -= std::rint(turns);  // in [-1/2, 1/2], so the next line fits into an int64
  return static_cast<std::uint64_t>(std::llrint(std::ldexp(turns, 63))) << 1;
}

/// Cartesian from polar. kWraps: the row after the last angle is the first.
template <bool kPeriodic>
struct ToCartesian {
  static constexpr bool kWraps = kPeriodic;
  static constexpr bool kGivesBytes = false;
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
  const ToPolar map{Centres(args.centre), turns_of(args.first_angle), turns_of(args.angle_step),
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
