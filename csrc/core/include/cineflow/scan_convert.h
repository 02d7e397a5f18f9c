// Scan conversion: the lines of a probe to a Cartesian image, or its planes of lines to a volume.
//
//   out(p) = offset + scale * src(i(p), j(p)), bilinear, and offset outside of the sector
//   with p = apex + rho_j (cos phi_i, sin phi_i), phi_i = first_angle + i * angle_step and
//   rho_j = first_radius + j * radius_step
//
//   | tensor           | shape           | dtypes             | strides | device      |
//   |------------------|-----------------|--------------------|---------|-------------|
//   | lines            | [N, C, L, S]    | f32, f16, bf16, u8 | any     | cpu or cuda |
//   | Cartesian image  | [N, C, H, W]    | f32, f16, bf16, u8 | any     | the same    |
//   | planes of lines  | [N, C, P, L, S] | f32, f16, bf16, u8 | any     | cpu or cuda |
//   | Cartesian volume | [N, C, D, H, W] | f32, f16, bf16, u8 | any     | the same    |
//
// Angles turn from x (right) to y (down). The apex is the point where all lines meet: the probe
// itself for a sector, behind it for a curved array. The sector ends sharply at its first and last
// line and sample; what lies up to 1/1024 of a step beyond them still belongs to it. A u8 result is
// rounded to the nearest level, ties to even, and clamped to 0..255; NaN gives 0.
//
// In a volume the plane of the image is turned about an axis that is parallel to x: plane k by the
// tilt first_tilt + k * tilt_step, from y (down) to z (the next slice). With tilt 0 it is the slice
// z = axis_z. The result is trilinear, and the pyramid ends sharply at its first and last plane.
#pragma once

#include "cineflow/executor.h"
#include "cineflow/polar.h"
#include "cineflow/status.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

struct ScanConvertArgs {
  TensorView src;             // [N, C, (P,) L, S]: (P planes of) L lines of S samples
  TensorView out;             // [N, C, (D,) H, W]
  double apex_x = 0.0;        // pixels of the Cartesian image
  double apex_y = 0.0;        // pixels
  double first_angle = 0.0;   // radians
  double angle_step = 0.0;    // radians from one line to the next, not 0
  double first_radius = 0.0;  // pixels from the apex to the first sample
  double radius_step = 1.0;   // pixels, positive
  float scale = 1.0f;
  float offset = 0.0f;
  double axis_y = 0.0;  // volumes only, as all that follows: the axis of the tilts, pixels
  double axis_z = 0.0;
  double first_tilt = 0.0;  // radians
  double tilt_step = 1.0;   // radians from one plane to the next, not 0
  PolarPlan plan;           // images only, of scan_convert_plan_bytes(args) bytes
};

/// As polar_plan_key() and polar_plan_bytes(). Pages of the plan for pixels outside of the sector
/// are never touched.
PolarPlanKey scan_convert_plan_key(const ScanConvertArgs& args) noexcept;
std::int64_t scan_convert_plan_bytes(const ScanConvertArgs& args) noexcept;

Status check_scan_convert(const ScanConvertArgs& args) noexcept;
Status scan_convert_cpu(const ScanConvertArgs& args,
                        const Executor& executor = serial_executor()) noexcept;
Status scan_convert_cuda(const ScanConvertArgs& args, void* stream) noexcept;

}  // namespace cineflow
