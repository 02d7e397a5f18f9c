#include "cineflow/polar.h"

#include <cmath>

#include "cpu/panels.h"
#include "math/polar.h"

namespace cineflow {
namespace {

/// Whether the first centre is two floats on the CPU, for arguments that nothing has checked yet.
bool has_readable_centre(const PolarArgs& args) {
  const TensorView& centre = args.centre;
  return centre.device == Device::kCpu && centre.dtype == DType::kF32 && centre.rank == 2 &&
         centre.sizes[0] > 0 && centre.sizes[1] == 2;
}

bool has_one_centre(const PolarArgs& args) {
  return args.src.sizes[0] == 1 || args.centre.sizes[0] == 1;
}

Centre centre_of(const PolarArgs& args, std::int64_t image) {
  const TensorView& centre = args.centre;
  const float* first = floats_at(centre, centre.sizes[0] == 1 ? 0 : image * centre.strides[0]);
  return {first[0], first[centre.strides[1]]};
}

/// Directions of the rays. Each one is an anchor ray, every 16th, turned by a small angle: a
/// complex product costs less than a sine, and its bits do not depend on which rays were computed
/// before.
class Rays {
 public:
  Rays(double first_angle, double angle_step) : first_(first_angle), step_(angle_step) {}

  struct Direction {
    double across, down;
  };

  Direction of(std::int64_t row) {
    if (anchor_row_ < 0) {  // not in the constructor: a call that has a plan needs no ray
      for (int index = 0; index < kAnchorEvery; ++index) turns_[index] = direction(index * step_);
    }
    const std::int64_t anchor = row - row % kAnchorEvery;
    if (anchor != anchor_row_) {
      anchor_row_ = anchor;
      anchor_ = direction(first_ + static_cast<double>(anchor) * step_);
    }
    const Direction turn = turns_[row - anchor];
    return {anchor_.across * turn.across - anchor_.down * turn.down,
            anchor_.down * turn.across + anchor_.across * turn.down};
  }

 private:
  static constexpr int kAnchorEvery = 16;
  static Direction direction(double angle) { return {std::cos(angle), std::sin(angle)}; }

  double first_, step_;
  Direction turns_[kAnchorEvery];
  Direction anchor_{};
  std::int64_t anchor_row_ = -1;
};

PanelSampling sampling(const PolarArgs& args, bool wraps) noexcept {
  return {args.src,   args.out,    args.border, wraps, has_one_centre(args),
          args.scale, args.offset, args.plan};
}

/// Most bytes of a plan. A plan much larger than the L2 cache takes longer to read than to make.
constexpr std::int64_t kLargestPlan = std::int64_t{2} << 20;

}  // namespace

PolarPlanKey polar_plan_key(const PolarArgs& args) noexcept {
  const TensorView& src = args.src;
  const TensorView& out = args.out;
  const Centre centre = centre_of(args, 0);
  return {src.sizes[2],
          src.sizes[3],
          src.strides[2],
          src.strides[3],
          out.sizes[2],
          out.sizes[3],
          goes_along_channels(src, out),
          bits_of(centre.x),
          bits_of(centre.y),
          bits_of(args.first_angle),
          bits_of(args.angle_step),
          bits_of(args.first_radius),
          bits_of(args.radius_step),
          args.wraps,
          static_cast<std::int64_t>(args.border),
          reinterpret_cast<std::intptr_t>(&kernels())};  // plans depend on the vector length
}

std::int64_t polar_plan_bytes(const PolarArgs& args) noexcept {
  if (!has_readable_centre(args) || !has_one_centre(args)) return 0;
  if (!has_room_for_plan(args.src, args.out)) return 0;
  const std::int64_t bytes = plan_bytes(args.out);
  return bytes <= kLargestPlan ? bytes : 0;
}

Status polar_resample_cpu(const PolarArgs& args, const Executor& executor) noexcept {
  const Status status = check_polar_resample(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  sample_panels(sampling(args, false), executor,
                [&args, rays = Rays(args.first_angle, args.angle_step)](
                    std::int64_t image, std::int64_t row, std::int64_t first, int count, float* x,
                    float* y) mutable {
                  const Centre centre = centre_of(args, image);
                  const Rays::Direction direction = rays.of(row);
                  RayRun run{};
                  run.centre_x = centre.x;
                  run.centre_y = centre.y;
                  run.across = static_cast<float>(direction.across);
                  run.down = static_cast<float>(direction.down);
                  run.first_radius = static_cast<float>(args.first_radius);
                  run.radius_step = static_cast<float>(args.radius_step);
                  run.first = static_cast<int>(first);
                  run.count = count;
                  run.x = x;
                  run.y = y;
                  kernels().follow_ray(run);
                });
  return status;
}

Status polar_unresample_cpu(const PolarArgs& args, const Executor& executor) noexcept {
  const Status status = check_polar_unresample(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const AngularGrid grid =
      angular_grid(args.first_angle, args.angle_step, args.src.sizes[2], args.wraps);
  // A source without rows cannot wrap: every sample lies outside.
  const bool wraps = args.wraps && args.src.sizes[2] > 0;
  sample_panels(
      sampling(args, wraps), executor,
      [&](std::int64_t image, std::int64_t row, std::int64_t first, int count, float* x, float* y) {
        const Centre centre = within_reach(centre_of(args, image));
        PolarRun run{};
        run.x = static_cast<float>(first) - centre.x;
        run.y = static_cast<float>(row) - centre.y;
        run.count = count;
        run.grid = grid;
        run.first_radius = static_cast<float>(args.first_radius);
        run.samples_per_pixel = static_cast<float>(1.0 / args.radius_step);
        run.radius = x;
        run.angle = y;
        kernels().to_polar(run);
      });
  return status;
}

}  // namespace cineflow
