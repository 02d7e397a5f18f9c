// One level of dense Lucas-Kanade: the translation of the tissue around each cell of a grid, by
// weighted least squares of the brightness of two images.
//
//   m = (previous + current) / 2    g = gradient of m    t = previous - current
//
// The gradient is half the difference of two neighbours along one axis, smoothed by (1, 2, 1) / 4
// along the other; the border's pixels repeat outside. A cell is a block of `cell` x `cell` pixels.
// Over its pixels, A is the mean of g g^T, b that of g t, and v that of t^2. G is a Gaussian window
// over the cells of deviation `sigma`, cut at 2.5 sigma and of sum 1, and outside counts 0.
//
//   w(v) = mask * trust / (trust + mean of v over 5 x 5 cells)    the border's cells repeat outside
//   M(w) = G * (w A) + ridge I
//   u    = M(w(v))^-1  G * (w(v) b)
//
// With refinements, the weights are computed again from what u leaves unexplained,
// w' = w(v - u . (2 b - A u)), then u = M(w')^-1 G * (w' b), and `refinements` times
// u += M(w')^-1 G * (w' (b - A u)).
//
// In a cell whose sums are not finite, or larger than kLargestVariance, A, b, v and the mask count
// 0. A mask below 0 or NaN counts 0, above 1 it counts 1. So the result is always finite.
//
//   | tensor   | shape                      | dtype | strides | device       |
//   |----------|----------------------------|-------|---------|--------------|
//   | previous | [N, 1, cell * h, cell * w] | f32   | any     | cpu or cuda  |
//   | current  | [N, 1, cell * h, cell * w] | f32   | any     | previous's   |
//   | mask     | [N, 1, h, w]               | f32   | any     | previous's   |
//   | out      | [N, 2, h, w]               | f32   | any     | previous's   |
//
// Products and sums are f32.
#pragma once

#include "cineflow/executor.h"
#include "cineflow/status.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

constexpr int kMaxCell = 16;
constexpr int kMaxRefinements = 64;
constexpr double kLeastWindowSigma = 0.0625;  // cells
constexpr double kMostWindowSigma = 12.5;     // cells; the window then reaches 32 cells
constexpr double kLeastWeightScale = 1e-3;    // of trust and ridge
constexpr double kMostWeightScale = 1e6;

/// Sum of a cell's mean squares, (grey level)^2, above which it does not count.
constexpr float kLargestVariance = 1e12f;

/// Planes [N, h, w] of f32 in the workspace on a GPU.
constexpr int kStepPlanes = 25;

struct LucasKanadeStepArgs {
  TensorView previous;        // [N, 1, cell * h, cell * w], grey levels
  TensorView current;         // [N, 1, cell * h, cell * w], grey levels
  TensorView mask;            // [N, 1, h, w], 0 (ignored) to 1, by cell
  TensorView out;             // [N, 2, h, w], pixels; shares no memory with the inputs
  int cell = 4;               // pixels along a side of a cell
  int refinements = 0;        // after the second solution; 0: the first solution is the result
  float sigma = 2.5f;         // of the window, cells
  float trust = 8.0f;         // unexplained variance at which a cell counts half, (grey level)^2
  float ridge = 1.0f;         // (grey level / pixel)^2
  void* workspace = nullptr;  // of the device, aligned to 64: lucas_kanade_step_workspace() bytes
};

Status check(const LucasKanadeStepArgs& args) noexcept;

/// Bytes of workspace: with `threads` threads on the CPU, or on a GPU. Safe for arguments that are
/// not checked yet: 0 where the launcher refuses them, or has nothing to compute.
std::int64_t lucas_kanade_step_workspace(const LucasKanadeStepArgs& args, int threads) noexcept;
std::int64_t lucas_kanade_step_cuda_workspace(const LucasKanadeStepArgs& args) noexcept;

Status lucas_kanade_step_cpu(const LucasKanadeStepArgs& args,
                             const Executor& executor = serial_executor()) noexcept;

/// Enqueues 3 kernels, or 5 + refinements where there are refinements.
Status lucas_kanade_step_cuda(const LucasKanadeStepArgs& args, void* stream) noexcept;

}  // namespace cineflow
