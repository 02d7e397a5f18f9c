// Statistics of a pair of frames and its flow over blocks of 16 x 16 pixels, in one pass.
//
//   | tensor   | shape            | dtypes  | strides           | device |
//   |----------|------------------|---------|-------------------|--------|
//   | previous | [H, W]           | f32, u8 | any row, column 1 | any    |
//   | current  | [H, W]           | f32, u8 | any row, column 1 | any    |
//   | flow     | [2, H, W]        | f32     | any row, column 1 | any    |
//   | mask     | [H, W] or absent | u8      | any row, column 1 | any    |
//   | out      | [14, h, w]       | f32     | any               | any    |
//
// h = H / 16 and w = W / 16, rounded down; an image smaller than a block is one block. a is the
// previous frame, b(p) = current(p + flow(p)) with clamped borders, both minus their mean over the
// block, and g the central-difference gradient of (a + b) / 2, 0 where a neighbour is not in use.
// A pixel is in use where the mask is not 0; without a mask, where a or b is above 0.
//
// All tensors are on one device. A value that is not finite is an error on the CPU. On a GPU nobody
// waits for the kernels, so every field of every block is NaN then.
#pragma once

#include "cineflow/executor.h"
#include "cineflow/status.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

/// Side of a block, pixels, and spacing of the flow samples that the deformation is made of.
constexpr std::int64_t kPairBlock = 16;
constexpr std::int64_t kDeformationStep = 4;

/// Rows of `out`. Windowed ones are means over the block and its neighbours, of which neighbours
/// count half and diagonal neighbours a quarter.
enum PairField : int {
  // Of the block itself: pixels in use, and mean grey levels of both frames (those of the whole
  // frame where no pixel is in use).
  kCount,
  kGreyA,
  kGreyB,
  // Of the window: weighted number of pixels in use, at least 1.
  kPixels,
  // Of the window: variances and covariance, grey levels^2.
  kAA,
  kBB,
  kAB,
  // Of the window: products of the gradient, (grey level / px)^2.
  kXX,
  kXY,
  kYY,
  // Of the block itself: mean flow, px.
  kFlowX,
  kFlowY,
  // Of the block itself: mean Frobenius norm of the flow's gradient, and the share that folds.
  kDeformation,
  kFolded,
  kPairFields
};

struct PairBlocksArgs {
  TensorView previous;  // [H, W], grey levels
  TensorView current;   // [H, W], grey levels
  TensorView flow;      // [2, H, W], pixels, previous to current; channel 0 = x, 1 = y
  TensorView mask;      // [H, W]; rank 0: absent
  TensorView out;       // [kPairFields, h, w]; shares no memory with the inputs
  // pair_blocks_workspace() bytes, aligned to 64; on a GPU pair_blocks_cuda_workspace() bytes of
  // its memory, aligned to 8.
  void* workspace = nullptr;
};

/// Checks the table above; the values are checked by the launcher.
Status check(const PairBlocksArgs& args) noexcept;

/// Bytes of workspace that the launchers need: on the CPU with `threads` threads, and on a GPU.
std::int64_t pair_blocks_workspace(const PairBlocksArgs& args, int threads) noexcept;
std::int64_t pair_blocks_cuda_workspace(const PairBlocksArgs& args) noexcept;

/// Fails, with an undefined `out`, where a frame or the flow has a value that is not finite.
Status pair_blocks_cpu(const PairBlocksArgs& args,
                       const Executor& executor = serial_executor()) noexcept;
Status pair_blocks_cuda(const PairBlocksArgs& args, void* stream) noexcept;

}  // namespace cineflow
