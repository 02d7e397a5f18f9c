// Correlation of the patches around key points: every cell of a patch of f1 with every cell of the
// patch of f2 around the same point.
//
//   out[n, k, i, j] = scale * sum over channels of a(i) * b(j)
//
// a(i) is the mean of a block of pool1 x pool1 samples in the patch of size1 x size1 samples around
// points1[b, k], b(j) the same in f2 around points2[n, k]. Samples are bilinear. The sample (u, v)
// of a patch lies at the point + (u - size / 2, v - size / 2), with the quotient rounded down, so
// that the patch around a whole pixel is a crop.
//
//   | tensor  | shape        | dtypes         | strides | device      |
//   |---------|--------------|----------------|---------|-------------|
//   | f1      | [B, C, h, w] | f32, f16, bf16 | any     | cpu or cuda |
//   | f2      | [N, C, H, W] | f1's           | any     | f1's        |
//   | points1 | [B, K, 2]    | f32            | any     | f1's        |
//   | points2 | [N, K, 2]    | f32            | any     | f1's        |
//   | out     | [N, K, I, J] | f32, f16, bf16 | any     | f1's        |
//
// I = (size1 / pool1)^2 and J = (size2 / pool2)^2; cells count row after row. N is a multiple of B:
// each map of f1 serves N / B consecutive maps of f2. Products and sums are f32.
#pragma once

#include "cineflow/border.h"
#include "cineflow/executor.h"
#include "cineflow/status.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

/// Most samples along a side of a patch.
constexpr int kMaxPatch = 64;

struct PatchCorrelationArgs {
  TensorView f1;       // [B, C, h, w], features of the reference
  TensorView f2;       // [N, C, H, W], features of the targets
  TensorView points1;  // [B, K, 2], (x, y) in pixels of f1
  TensorView points2;  // [N, K, 2], (x, y) in pixels of f2
  TensorView out;      // [N, K, I, J]; shares no memory with the inputs
  int size1 = 7;       // samples along a side of a patch of f1
  int size2 = 7;       // the same in f2
  int pool1 = 1;       // samples along a side of a cell of f1, a divisor of size1
  int pool2 = 1;       // the same in f2, a divisor of size2
  float scale = 1.0f;  // 1 / C for the mean, 1 / sqrt(C) for RAFT
  Border border = Border::kZeros;
  void* workspace = nullptr;  // CPU only: patch_correlation_workspace() bytes, aligned to 64

  int cells1() const noexcept { return size1 / pool1; }  // along a side
  int cells2() const noexcept { return size2 / pool2; }
};

Status check(const PatchCorrelationArgs& args) noexcept;

/// As correlation_workspace().
std::int64_t patch_correlation_workspace(const PatchCorrelationArgs& args, int threads) noexcept;

Status patch_correlation_cpu(const PatchCorrelationArgs& args,
                             const Executor& executor = serial_executor()) noexcept;
Status patch_correlation_cuda(const PatchCorrelationArgs& args, void* stream) noexcept;

}  // namespace cineflow
