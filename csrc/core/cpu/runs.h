// Builds the runs of an op and samples them.
//
// Problem: the kernels sample runs of up to kMaxRun pixels, but an op has images of any size and
// stride.
//
// Solution: a run is a part of one row, or several whole rows where the output's rows follow one
// another in memory. Long runs keep their part of a channel in the L1 cache while they are sampled.
//
// Usage: rows_per_run() rows at a time, for_each_part() of a row,
//   SampleRun run = make_run(src, image, border, out, first_element, count);
//   sample_run(run, positions_along_flow(flow, image, row, rows, column, columns, scratch));
#pragma once

#include <algorithm>

#include "cpu/kernel_table.h"
#include "cpu/views.h"

namespace cineflow {

/// Whether the rows of a view [N, C, H, W] follow one another without a gap.
inline bool rows_are_dense(const TensorView& view) noexcept {
  return view.strides[2] == view.sizes[3] * view.strides[3];
}

/// Rows of `out` in one run: more than one where whole rows fit and follow one another.
inline std::int64_t rows_per_run(const TensorView& out) noexcept {
  const std::int64_t width = out.sizes[3];
  return rows_are_dense(out) && width < kMaxRun ? kMaxRun / width : 1;
}

/// Calls `body(first, count)` for the parts of a row of `width` pixels that fit into a run.
template <typename Body>
void for_each_part(std::int64_t width, const Body& body) noexcept {
  for (std::int64_t first = 0; first < width; first += kMaxRun) {
    body(first, static_cast<int>(std::min<std::int64_t>(kMaxRun, width - first)));
  }
}

/// Memory for the positions of one run.
struct PositionScratch {
  alignas(64) float x[kScratchSamples];
  alignas(64) float y[kScratchSamples];
};

/// Positions of `columns` pixels in each of `rows` rows: where the flow points. Displacements that
/// are not contiguous are copied to `scratch`.
inline SamplePositions positions_along_flow(const TensorView& flow, std::int64_t image,
                                            std::int64_t row, std::int64_t rows,
                                            std::int64_t column, std::int64_t columns,
                                            PositionScratch& scratch) noexcept {
  const float* x =
      floats_at(flow, image * flow.strides[0] + row * flow.strides[2] + column * flow.strides[3]);
  const float* y = x + flow.strides[1];
  if (flow.strides[3] != 1 || (rows > 1 && flow.strides[2] != columns)) {
    for (std::int64_t index = 0; index < rows * columns; ++index) {
      const std::int64_t from =
          index / columns * flow.strides[2] + index % columns * flow.strides[3];
      scratch.x[index] = x[from];
      scratch.y[index] = y[from];
    }
    x = scratch.x;
    y = scratch.y;
  }
  return {x, y, columns, static_cast<float>(column), static_cast<float>(row)};
}

/// A run that samples image `image` of `src` [N, C, H, W] into `count` pixels of `out`, of which
/// the first is `first_element` elements after the start of `out`.
inline SampleRun make_run(const TensorView& src, std::int64_t image, Border border,
                          const TensorView& out, std::int64_t first_element, int count) noexcept {
  SampleRun run{};
  run.src = at(src, image * src.strides[0]);
  run.src_dtype = src.dtype;
  run.height = static_cast<std::int32_t>(src.sizes[2]);
  run.width = static_cast<std::int32_t>(src.sizes[3]);
  run.channel_stride = src.strides[1];
  run.row_stride = src.strides[2];
  run.column_stride = src.strides[3];
  run.channels = src.sizes[1];
  run.border = border;
  run.count = count;
  run.out = at(out, first_element);
  run.out_dtype = out.dtype;
  run.out_channel_stride = out.strides[1];
  run.out_stride = out.strides[3];
  return run;
}

/// The same for a volume: `src` and `out` are [N, C, D, H, W], and `count` is up to kMaxVolumeRun.
inline VolumeRun make_volume_run(const TensorView& src, std::int64_t image, Border border,
                                 const TensorView& out, std::int64_t first_element,
                                 int count) noexcept {
  VolumeRun run{};
  run.src = at(src, image * src.strides[0]);
  run.src_dtype = src.dtype;
  run.depth = static_cast<std::int32_t>(src.sizes[2]);
  run.height = static_cast<std::int32_t>(src.sizes[3]);
  run.width = static_cast<std::int32_t>(src.sizes[4]);
  run.channel_stride = src.strides[1];
  run.slice_stride = src.strides[2];
  run.row_stride = src.strides[3];
  run.column_stride = src.strides[4];
  run.channels = src.sizes[1];
  run.border = border;
  run.count = count;
  run.out = at(out, first_element);
  run.out_dtype = out.dtype;
  run.out_channel_stride = out.strides[1];
  run.out_stride = out.strides[4];
  return run;
}

/// Samples a run at the given positions.
inline void sample_run(const SampleRun& run, const SamplePositions& positions) noexcept {
  alignas(64) char scratch[sample_block_bytes(kScratchSamples)];
  const SampleBlocks blocks = sample_blocks_in(scratch, kScratchSamples);
  kernels().locate_samples(run, positions, blocks);
  kernels().sample_located(run, blocks);
}

}  // namespace cineflow
