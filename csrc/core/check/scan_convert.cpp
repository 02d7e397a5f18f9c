#include "cineflow/scan_convert.h"

#include <cfloat>

#include "check/rules.h"

namespace cineflow {

Status check_scan_convert(const ScanConvertArgs& args) noexcept {
  const TensorView& src = args.src;
  const TensorView& out = args.out;
  const double angle_step = args.angle_step < 0 ? -args.angle_step : args.angle_step;
  const double tilt_step = args.tilt_step < 0 ? -args.tilt_step : args.tilt_step;
  return Rules()
      .image_or_volume("src", src)
      .rank("out", out, src.rank)
      .dtype("src", src, {DType::kF32, DType::kF16, DType::kBF16, DType::kU8})
      .dtype("out", out, {DType::kF32, DType::kF16, DType::kBF16, DType::kU8})
      .same_device("out", out, src)
      .size("out", out, 0, src.sizes[0], "src's batch")
      .size("out", out, 1, src.sizes[1], "src's channels")
      .range("apex_x", args.apex_x, -1e6, 1e6)
      .range("apex_y", args.apex_y, -1e6, 1e6)
      .range("first_angle", args.first_angle, -1e6, 1e6)
      .range("|angle_step|", angle_step, 1e-7, 7.0)
      .range("first_radius", args.first_radius, 0.0, 1e6)
      .range("radius_step", args.radius_step, 1e-7, 1e6)
      .range("axis_y", args.axis_y, -1e6, 1e6)
      .range("axis_z", args.axis_z, -1e6, 1e6)
      .range("first_tilt", args.first_tilt, -1e6, 1e6)
      .range("|tilt_step|", tilt_step, 1e-7, 7.0)
      .range("scale", args.scale, -FLT_MAX, FLT_MAX)
      .range("offset", args.offset, -FLT_MAX, FLT_MAX)
      .extent("src", src)
      .extent("out", out)
      .writable("out", out)
      .disjoint("src", src, out)
      .status();
}

}  // namespace cineflow
