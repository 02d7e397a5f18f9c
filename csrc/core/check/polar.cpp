#include "cineflow/polar.h"

#include <cfloat>

#include "check/rules.h"

namespace cineflow {
namespace {

Status check(const PolarArgs& args) noexcept {
  const TensorView& src = args.src;
  const TensorView& centre = args.centre;
  const TensorView& out = args.out;
  // A step of 0 has no inverse. Either sign is allowed.
  const double angle_step = args.angle_step < 0 ? -args.angle_step : args.angle_step;
  const double radius_step = args.radius_step < 0 ? -args.radius_step : args.radius_step;
  Rules rules;
  rules.rank("src", src, 4)
      .rank("centre", centre, 2)
      .rank("out", out, 4)
      .dtype("src", src, {DType::kF32, DType::kF16, DType::kBF16, DType::kU8})
      .dtype("centre", centre, {DType::kF32})
      .dtype("out", out, {DType::kF32, DType::kF16, DType::kBF16})
      .same_device("out", out, src);
  // One centre may also be in the CPU's memory: the launcher passes it by value.
  const bool by_value = centre.device == Device::kCpu && centre.sizes[0] == 1;
  if (!by_value) rules.same_device("centre", centre, src);
  return rules
      .size("centre", centre, 0, centre.sizes[0] == 1 ? 1 : src.sizes[0], "src's batch, or 1")
      .size("centre", centre, 1, 2, "x and y")
      .size("out", out, 0, src.sizes[0], "src's batch")
      .size("out", out, 1, src.sizes[1], "src's channels")
      .range("first_angle", args.first_angle, -1e6, 1e6)
      .range("|angle_step|", angle_step, 1e-7, 7.0)
      .range("first_radius", args.first_radius, -1e6, 1e6)
      .range("|radius_step|", radius_step, 1e-7, 1e6)
      .range("scale", args.scale, -FLT_MAX, FLT_MAX)
      .range("offset", args.offset, -FLT_MAX, FLT_MAX)
      .plane("src", src)
      .plane("out", out)
      .writable("out", out)
      .disjoint("src", src, out)
      .disjoint("centre", centre, out)
      .status();
}

}  // namespace

Status check_polar_resample(const PolarArgs& args) noexcept { return check(args); }

Status check_polar_unresample(const PolarArgs& args) noexcept { return check(args); }

}  // namespace cineflow
