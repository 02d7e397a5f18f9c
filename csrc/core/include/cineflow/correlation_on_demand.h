// The look-up of correlation_pyramid.h without the volume: correlations are computed where they are
// looked up. The mean over pixels of a correlation is the correlation with the mean of the
// features, so f2 is pooled once instead.
//
// Features: the levels of f2 one below the other. Level l has H >> l rows and W >> l columns; the
// columns to its right are 0.
//
// On demand: out[k](p) as the look-up gives it for the pyramid of f1 and f2, up to rounding.
//
//   | tensor   | shape                             | dtypes         | strides | device      |
//   |----------|-----------------------------------|----------------|---------|-------------|
//   | f2       | [N, C, H, W]                      | f32, f16, bf16 | any     | cpu or cuda |
//   | features | [N, C, R, W], R: rows of all levels | f32, f16, bf16 | any   | f2's        |
//   | f1       | [N, C, H, W]                      | features'      | any     | cpu or cuda |
//   | coords   | [N, 2, H, W]                      | f32            | any     | f1's        |
//   | out      | [N, levels (2r + 1)^2, H, W]      | f32, f16, bf16 | any     | f1's        |
//
// Means, products and sums are f32; a value is rounded once, when it is stored.
#pragma once

#include "cineflow/correlation_pyramid.h"

namespace cineflow {

/// Rows of the levels before `level`: where it begins. With `levels`, the rows of them all.
constexpr std::int64_t level_row(std::int64_t height, int level) noexcept {
  std::int64_t rows = 0;
  for (int before = 0; before < level; ++before) rows += height >> before;
  return rows;
}

struct FeaturePyramidArgs {
  TensorView f2;   // [N, C, H, W], features
  TensorView out;  // [N, C, R, W]; shares no memory with f2
  int levels = 4;  // 1 to 4
};

struct CorrelationOnDemandArgs {
  TensorView f1;              // [N, C, H, W], features
  TensorView features;        // [N, C, R, W], levels of f2
  TensorView coords;          // [N, 2, H, W], (x, y) in pixels of level 0; not finite: 0
  TensorView out;             // [N, levels (2r + 1)^2, H, W]; shares no memory with the inputs
  int levels = 4;             // 1 to 4
  int radius = 4;             // r in pixels of each level, 0 to 8
  float scale = 1.0f;         // 1 / sqrt(C) for RAFT
  void* workspace = nullptr;  // CPU only: correlation_on_demand_workspace() bytes, aligned to 64
};

Status check(const FeaturePyramidArgs& args) noexcept;
Status check(const CorrelationOnDemandArgs& args) noexcept;

/// Bytes of workspace that the CPU launcher needs with `threads` threads: the features of one image
/// in f32, and some pixels per thread. As safe as correlation_pyramid_workspace().
std::int64_t correlation_on_demand_workspace(const CorrelationOnDemandArgs& args,
                                             int threads) noexcept;

Status feature_pyramid_cpu(const FeaturePyramidArgs& args,
                           const Executor& executor = serial_executor()) noexcept;
Status feature_pyramid_cuda(const FeaturePyramidArgs& args, void* stream) noexcept;
Status correlation_on_demand_cpu(const CorrelationOnDemandArgs& args,
                                 const Executor& executor = serial_executor()) noexcept;
Status correlation_on_demand_cuda(const CorrelationOnDemandArgs& args, void* stream) noexcept;

}  // namespace cineflow
