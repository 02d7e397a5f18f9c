// A run of a backward warp: what warp, compose_flow, the fused correlation and the polar ops share.
#pragma once

#include <algorithm>

#include "cpu/kernels.h"
#include "cpu/views.h"

namespace cineflow {

/// Whether the rows of a view [N, C, H, W] follow one another without a gap.
inline bool rows_follow(const TensorView& view) noexcept {
  return view.strides[2] == view.sizes[3] * view.strides[3];
}

/// How many rows of `out` a run holds: it crosses rows where these follow one another.
inline std::int64_t rows_per_run(const TensorView& out) noexcept {
  const std::int64_t width = out.sizes[3];
  return rows_follow(out) && width < kMaxChunk ? kMaxChunk / width : 1;
}

/// Coordinates of a chunk that are not read where they lie.
struct CoordinateRoom {
  alignas(64) float x[kChunkRoom];
  alignas(64) float y[kChunkRoom];
};

/// Coordinates of `count` pixels in each of `rows` rows: where the flow points.
inline Coordinates along_flow(const TensorView& flow, std::int64_t image, std::int64_t row,
                              std::int64_t rows, std::int64_t column, std::int64_t count,
                              CoordinateRoom& room) noexcept {
  const float* across =
      floats_at(flow, image * flow.strides[0] + row * flow.strides[2] + column * flow.strides[3]);
  const float* down = across + flow.strides[1];
  if (flow.strides[3] != 1 || (rows > 1 && flow.strides[2] != count)) {
    for (std::int64_t index = 0; index < rows * count; ++index) {
      const std::int64_t from = index / count * flow.strides[2] + index % count * flow.strides[3];
      room.x[index] = across[from];
      room.y[index] = down[from];
    }
    across = room.x;
    down = room.y;
  }
  return {across, down, count, static_cast<float>(column), static_cast<float>(row)};
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

/// Sample a chunk at such coordinates.
inline void sample(const SampleChunk& chunk, const Coordinates& coordinates) noexcept {
  if (kernels().sample_in_one_pass(chunk, coordinates)) return;
  alignas(64) char room[place_bytes(kChunkRoom)];
  const Places places = places_in(room, kChunkRoom);
  kernels().find_places(chunk, coordinates, places);
  kernels().sample(chunk, places);
}

/// Call `body(first, count)` for the chunks of a row of `width` pixels.
template <typename Body>
void for_each_chunk(std::int64_t width, const Body& body) noexcept {
  for (std::int64_t first = 0; first < width; first += kMaxChunk) {
    body(first, static_cast<int>(std::min<std::int64_t>(kMaxChunk, width - first)));
  }
}

}  // namespace cineflow
