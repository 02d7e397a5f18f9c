// RAFT's correlation of all pairs of pixels, with pooled levels, and the look-up in it.
//
// Pyramid: for each pixel p of f1, all levels one after another along the last axis. Level 0 is
// scale * sum over channels of f1(p) * f2(q) for every pixel q, row by row. Each further level is
// the mean of 2 x 2 pixels of the one before; an odd last row or column is left out.
//
// Look-up: out[k](p) = level l at coords(p) / 2^l + d, bilinear, 0 outside, where d runs over the
// square of radius r. Channel k is l (2r + 1)^2 + (dx + r)(2r + 1) + (dy + r), as in RAFT.
//
//   | tensor   | shape                        | dtypes         | strides | device      |
//   |----------|------------------------------|----------------|---------|-------------|
//   | f1       | [N, C, H, W]                 | f32, f16, bf16 | any     | cpu or cuda |
//   | f2       | [N, C, H, W]                 | f1's           | any     | f1's        |
//   | pyramid  | [N, H, W, L], L: all levels  | f32, f16, bf16 | any     | f1's        |
//   | coords   | [N, 2, H, W]                 | f32            | any     | pyramid's   |
//   | out      | [N, levels (2r + 1)^2, H, W] | f32, f16, bf16 | any     | pyramid's   |
//
// Products, sums and means are f32; a value is rounded once, when it is stored.
#pragma once

#include "cineflow/executor.h"
#include "cineflow/status.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

constexpr int kMaxLevels = 4;  // RAFT's; a block of the CUDA kernel pools 8 x 8 pixels
constexpr int kMaxLookupRadius = 8;

/// Elements of the levels before `level`: where it begins. With `levels`, the length of them all.
constexpr std::int64_t level_start(std::int64_t height, std::int64_t width, int level) noexcept {
  std::int64_t elements = 0;
  for (int before = 0; before < level; ++before) elements += (height >> before) * (width >> before);
  return elements;
}

/// Levels that maps of these sides can have: the last one has at least one pixel.
constexpr int most_levels(std::int64_t height, std::int64_t width) noexcept {
  int levels = 1;
  while (levels < kMaxLevels && (height >> levels) > 0 && (width >> levels) > 0) ++levels;
  return levels;
}

struct CorrelationPyramidArgs {
  TensorView f1;              // [N, C, H, W], features
  TensorView f2;              // [N, C, H, W], features
  TensorView out;             // [N, H, W, L]; shares no memory with the inputs
  int levels = 4;             // 1 to 4
  float scale = 1.0f;         // 1 / sqrt(C) for RAFT
  void* workspace = nullptr;  // CPU only: correlation_pyramid_workspace() bytes, aligned to 64
};

struct CorrelationLookupArgs {
  TensorView pyramid;  // [N, H, W, L]
  TensorView coords;   // [N, 2, H, W], (x, y) in pixels of level 0; not finite: the result is 0
  TensorView out;      // [N, levels (2r + 1)^2, H, W]; shares no memory with the inputs
  int levels = 4;      // of the pyramid, 1 to 4
  int radius = 4;      // r in pixels of each level, 0 to 8
};

Status check(const CorrelationPyramidArgs& args) noexcept;
Status check(const CorrelationLookupArgs& args) noexcept;

/// Bytes of workspace that the CPU launcher needs with `threads` threads: f2 of one image in f32,
/// and some rows per thread. Safe for arguments that are not checked yet: 0 where the launcher
/// refuses them, or has nothing to compute.
std::int64_t correlation_pyramid_workspace(const CorrelationPyramidArgs& args,
                                           int threads) noexcept;

Status correlation_pyramid_cpu(const CorrelationPyramidArgs& args,
                               const Executor& executor = serial_executor()) noexcept;
Status correlation_pyramid_cuda(const CorrelationPyramidArgs& args, void* stream) noexcept;
Status correlation_lookup_cpu(const CorrelationLookupArgs& args,
                              const Executor& executor = serial_executor()) noexcept;
Status correlation_lookup_cuda(const CorrelationLookupArgs& args, void* stream) noexcept;

}  // namespace cineflow
