// One run of trilinear sampling: the samples of a part of a slice, for every channel.
//
// Problem and solution are those of cpu/sample_blocks.h. A volume has no periodic axis and no plan
// that is kept, so the run has one inner kernel, which locates the samples and then reads them.
//
// Usage: kernels().sample_volume(run, positions);
#pragma once

#include <cstdint>

#include "cineflow/border.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

/// Most samples of a run. The located samples of a run fit into half of a small L1 cache.
constexpr int kMaxVolumeRun = 512;

/// Where the samples of a run read, in pixels of the source. With `width` 0, sample i reads at
/// (x[i], y[i], z[i]). Otherwise x, y and z are displacements of consecutive pixels of one slice of
/// a grid: the first pixel is (column, row, slice), and a grid row has `width` pixels.
struct VolumePositions {
  const float* x;  // [count]; read up to the last sample
  const float* y;
  const float* z;
  std::int64_t width = 0;
  float column = 0.0f, row = 0.0f, slice = 0.0f;
};

/// Up to kMaxVolumeRun samples of every channel:
/// out[c][i] = addend + bias + scale * channel c at position i.
struct VolumeRun {
  const void* src;  // channel 0 at (slice 0, row 0, column 0)
  DType src_dtype;
  std::int32_t depth, height, width;  // of the source
  // Of the source, in elements.
  std::int64_t channel_stride, slice_stride, row_stride, column_stride;
  std::int64_t channels;
  Border border;

  int count;  // of samples

  void* out;  // channel 0 of the first sample
  DType out_dtype;
  std::int64_t out_channel_stride, out_stride;  // in elements

  float scale = 1.0f;  // these two only without an addend
  float bias = 0.0f;
  const float* addend = nullptr;  // addend[c * addend_channel_stride + i * addend_stride], or null
  std::int64_t addend_channel_stride = 0;
  std::int64_t addend_stride = 0;
};

}  // namespace cineflow
