// Cartesian images to polar ones around a centre, and back.
//
//   polar_resample:   out(i, j) = offset + scale * src(c + rho_j (cos phi_i, sin phi_i))
//   polar_unresample: out(p)    = offset + scale * src(i(p), j(p)), the inverse
//   with phi_i = first_angle + i * angle_step and rho_j = first_radius + j * radius_step
//
//   | tensor          | shape            | dtypes             | strides | device      |
//   |-----------------|------------------|--------------------|---------|-------------|
//   | Cartesian image | [N, C, H, W]     | f32, f16, bf16, u8 | any     | cpu or cuda |
//   | polar image     | [N, C, A, R]     | f32, f16, bf16, u8 | any     | the same    |
//   | centre          | [N, 2] or [1, 2] | f32                | any     | the same    |
//
// One centre for all frames may be on the CPU also where the images are on a GPU. The result is
// f32, f16 or bf16. Angles turn from x (right) to y (down). With one centre for all frames the CPU
// locates the samples once for all of them. A plan keeps them for later calls.
#pragma once

#include <array>
#include <cstdint>

#include "cineflow/border.h"
#include "cineflow/executor.h"
#include "cineflow/status.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

/// The located samples of one frame, in memory that the caller keeps. For the CPU only.
struct PolarPlan {
  void* memory = nullptr;  // polar_plan_bytes(args) bytes, aligned to 64; null: no plan
  bool made = false;       // filled by an earlier call of the same op with the same polar_plan_key
};

struct PolarArgs {
  TensorView src;             // [N, C, H, W] (resample) or [N, C, A, R] (unresample)
  TensorView centre;          // [N, 2] or [1, 2]: x, y in pixels of the Cartesian image
  TensorView out;             // [N, C, A, R] (resample) or [N, C, H, W] (unresample)
  double first_angle = 0.0;   // radians
  double angle_step = 0.0;    // radians, not 0; negative: counter-clockwise on the screen
  double first_radius = 0.0;  // pixels
  double radius_step = 1.0;   // pixels, not 0
  bool wraps = true;          // unresample: the angles are a full circle
  Border border = Border::kZeros;
  float scale = 1.0f;
  float offset = 0.0f;
  PolarPlan plan;
};

/// Everything a plan depends on, for arguments on the CPU with polar_plan_bytes() > 0.
using PolarPlanKey = std::array<std::int64_t, 16>;
PolarPlanKey polar_plan_key(const PolarArgs& args) noexcept;

/// Bytes of a plan. 0 where a plan does not help: frames have different centres, or reading the
/// plan would take longer than making it. Safe for arguments that are not checked yet: 0 where the
/// launcher could not read a plan's centre, or its sizes are refused.
std::int64_t polar_plan_bytes(const PolarArgs& args) noexcept;

Status check_polar_resample(const PolarArgs& args) noexcept;
Status polar_resample_cpu(const PolarArgs& args,
                          const Executor& executor = serial_executor()) noexcept;
Status polar_resample_cuda(const PolarArgs& args, void* stream) noexcept;

Status check_polar_unresample(const PolarArgs& args) noexcept;
Status polar_unresample_cpu(const PolarArgs& args,
                            const Executor& executor = serial_executor()) noexcept;
Status polar_unresample_cuda(const PolarArgs& args, void* stream) noexcept;

}  // namespace cineflow
