// Local correlation: out[k](p) = scale * sum over channels of f1(p) * f2(p + dilation * d_k), where
// d_k runs over the square of radius r. With a flow, f2 is warped first: f2(q + flow(q)).
//
//   | tensor | shape                   | dtypes         | strides | device      |
//   |--------|-------------------------|----------------|---------|-------------|
//   | f1     | [N, C, H, W]            | f32, f16, bf16 | any     | cpu or cuda |
//   | f2     | [N, C, H, W]            | f1's           | any     | f1's        |
//   | flow   | [N, 2, H, W] or absent  | f32            | any     | f1's        |
//   | out    | [N, (2r + 1)^2, H, W]   | f32, f16, bf16 | any     | f1's        |
//
// Outside its image f2 is 0. Products and sums are f32. Channel k is (dy + r)(2r + 1) + (dx + r);
// in x-major order (RAFT's) dx and dy are exchanged.
#pragma once

#include "cineflow/border.h"
#include "cineflow/executor.h"
#include "cineflow/status.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

constexpr int kMaxRadius = 32;
constexpr int kMaxDilation = 16;

struct CorrelationArgs {
  TensorView f1;                   // [N, C, H, W], features
  TensorView f2;                   // [N, C, H, W], features
  TensorView flow;                 // [N, 2, H, W], pixels; rank 0: f2 is not warped
  TensorView out;                  // [N, (2r + 1)^2, H, W]; shares no memory with the inputs
  int radius = 4;                  // r, in steps of `dilation` pixels
  int dilation = 1;                // pixels from one displacement to the next
  float scale = 1.0f;              // 1 / C for the mean, 1 / sqrt(C) for RAFT
  bool x_major = false;            // channel order (dx, dy) instead of (dy, dx)
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
