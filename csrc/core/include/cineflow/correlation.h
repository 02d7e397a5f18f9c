// Local correlation: out[k](p) = scale * sum over channels of f1(p) * f2(p + dilation * d_k), where
// d_k runs over the square of radius r, or the cube in volumes. With a flow, f2 is warped first:
// f2(q + flow(q)).
//
//   | tensor | image                  | volume                    | dtypes         | device      |
//   |--------|------------------------|---------------------------|----------------|-------------|
//   | f1     | [N, C, H, W]           | [N, C, D, H, W]           | f32, f16, bf16 | cpu or cuda |
//   | f2     | [N, C, H, W]           | [N, C, D, H, W]           | f1's           | f1's        |
//   | flow   | [N, 2, H, W] or absent | [N, 3, D, H, W] or absent | f32            | f1's        |
//   | out    | [N, (2r + 1)^2, H, W]  | [N, (2r + 1)^3, D, H, W]  | f32, f16, bf16 | f1's        |
//
// Strides are free. Outside its image f2 is 0. Products and sums are f32. Channel k is
// (dy + r)(2r + 1) + (dx + r), in volumes ((dz + r)(2r + 1) + (dy + r))(2r + 1) + (dx + r). In
// x-major order (RAFT's) the displacements stand in the opposite order.
#pragma once

#include "cineflow/border.h"
#include "cineflow/executor.h"
#include "cineflow/status.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

constexpr int kMaxRadius = 32;
constexpr int kMaxDilation = 16;

struct CorrelationArgs {
  TensorView f1;                   // [N, C, (D,) H, W], features
  TensorView f2;                   // [N, C, (D,) H, W], features
  TensorView flow;                 // [N, 2 or 3, (D,) H, W], pixels; rank 0: f2 is not warped
  TensorView out;                  // [N, K, (D,) H, W]; shares no memory with the inputs
  int radius = 4;                  // r, in steps of `dilation` pixels
  int dilation = 1;                // pixels from one displacement to the next
  float scale = 1.0f;              // 1 / C for the mean, 1 / sqrt(C) for RAFT
  bool x_major = false;            // channel order (dx, dy[, dz]) instead of ([dz,] dy, dx)
  Border border = Border::kZeros;  // of the warp
  void* workspace = nullptr;       // CPU only: correlation_workspace() bytes, aligned to 64

  bool warps() const noexcept { return flow.rank != 0; }
};

Status check(const CorrelationArgs& args) noexcept;

/// Bytes of workspace that the CPU launcher needs with `threads` threads. Safe for arguments that
/// are not checked yet: 0 where the launcher refuses them, or has nothing to compute.
std::int64_t correlation_workspace(const CorrelationArgs& args, int threads) noexcept;

Status correlation_cpu(const CorrelationArgs& args,
                       const Executor& executor = serial_executor()) noexcept;
Status correlation_cuda(const CorrelationArgs& args, void* stream) noexcept;

}  // namespace cineflow
