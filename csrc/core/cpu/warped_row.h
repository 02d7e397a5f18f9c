// One row of a backward warp, shared by warp, compose_flow and the fused correlation.
#pragma once

#include <algorithm>

#include "cpu/kernels.h"
#include "cpu/views.h"

namespace cineflow {

/// x[i] = column + i + the flow there, and y the same, for `count` pixels of one row.
inline void coordinates_of(const TensorView& flow, std::int64_t image, std::int64_t row,
                           std::int64_t column, int count, float* x, float* y) noexcept {
  FlowRun run{};
  run.across =
      floats_at(flow, image * flow.strides[0] + row * flow.strides[2] + column * flow.strides[3]);
  run.down = run.across + flow.strides[1];
  run.step = flow.strides[3];
  run.column = static_cast<float>(column);
  run.row = static_cast<float>(row);
  run.count = count;
  run.x = x;
  run.y = y;
  kernels().follow_flow(run);
}

/// Whether the rows of an output [N, C, H, W] follow one another without a gap.
inline bool rows_follow(const TensorView& out) noexcept {
  return out.strides[2] == out.sizes[3] * out.strides[3];
}

/// The source side of a chunk: image `image` of `src` [N, C, H, W].
inline SampleChunk chunk_of(const TensorView& src, std::int64_t image, Border border) noexcept {
  SampleChunk chunk{};
  chunk.src = at(src, image * src.strides[0]);
  chunk.src_dtype = src.dtype;
  chunk.height = static_cast<std::int32_t>(src.sizes[2]);
  chunk.width = static_cast<std::int32_t>(src.sizes[3]);
  chunk.channel_stride = src.strides[1];
  chunk.row_stride = src.strides[2];
  chunk.column_stride = src.strides[3];
  chunk.channels = src.sizes[1];
  chunk.border = border;
  chunk.scale = 1.0f;
  return chunk;
}

/// Call `body(first, count)` for the chunks of a row of `width` pixels.
template <typename Body>
void for_each_chunk(std::int64_t width, const Body& body) noexcept {
  for (std::int64_t first = 0; first < width; first += kMaxChunk) {
    body(first, static_cast<int>(std::min<std::int64_t>(kMaxChunk, width - first)));
  }
}

}  // namespace cineflow
