// The inner kernels, one table per instruction set; `kernels()` is the best this machine runs.
//
// Everything above them (rows, threads, layouts of a whole tensor) is compiled once.
#pragma once

#include <cstdint>

#include "cineflow/border.h"
#include "cineflow/tensor_view.h"
#include "math/polar.h"

namespace cineflow {

constexpr int kMaxChunk = 1024;

/// Entries of an array of a chunk's coordinates: kernels write whole vectors, which may end beyond
/// the last sample.
constexpr int kChunkRoom = kMaxChunk + 16;

/// Where each sample of a run lies: at (x[i], y[i]), in pixels of the source; on a grid, that far
/// from a pixel of its own: the first is (column, row), and rows have `width` columns.
struct Coordinates {
  const float* x;  // [count]; read up to the last sample
  const float* y;
  std::int64_t width = 0;  // 0: x and y are the place itself
  float column = 0.0f, row = 0.0f;
};

/// Where so many samples that follow one another read, the same for every channel: the offsets of
/// their upper left corners, in elements, and how far beyond these they lie, in pixels. In vectors
/// that hold a sample with a corner outside, x and y are the coordinates as they were given.
constexpr int kPlacesTogether = 16;
struct alignas(64) PlacesTogether {
  std::int32_t top[kPlacesTogether];
  float x[kPlacesTogether];
  float y[kPlacesTogether];
};

/// The rest that such vectors take; for others this memory is not touched. Corners outside are
/// moved to the nearest pixels inside, with weight 0.
struct alignas(64) EdgesTogether {
  std::int32_t bottom[kPlacesTogether];  // offsets of the lower left corners
  float top_left[kPlacesTogether];       // weights
  float top_right[kPlacesTogether];
  float bottom_left[kPlacesTogether];
  float bottom_right[kPlacesTogether];
};

/// The same for a run.
struct Places {
  PlacesTogether* together;
  EdgesTogether* edges;
  std::uint32_t* outside;  // beside each of these: a bit for each sample with a corner outside

  /// From sample `first` on, a multiple of kPlacesTogether.
  Places from(std::int64_t first) const noexcept {
    const std::int64_t index = first / kPlacesTogether;
    return {together + index, edges + index, outside + index};
  }
};

/// Bytes of Places for `samples`, a multiple of kPlacesTogether.
constexpr std::int64_t place_bytes(std::int64_t samples) noexcept {
  constexpr std::int64_t kEach =
      sizeof(PlacesTogether) + sizeof(EdgesTogether) + sizeof(std::uint32_t);
  return samples / kPlacesTogether * kEach;
}

/// Places in `place_bytes(samples)` of memory aligned to 64 bytes.
inline Places places_in(void* memory, std::int64_t samples) noexcept {
  const std::int64_t count = samples / kPlacesTogether;
  auto* together = static_cast<PlacesTogether*>(memory);
  auto* edges = reinterpret_cast<EdgesTogether*>(together + count);
  return {together, edges, reinterpret_cast<std::uint32_t*>(edges + count)};
}

/// Samples of every channel at one run of at most kMaxChunk output pixels:
/// out[c][i] = bias + scale * channel_c(place i), bilinear.
///
/// What counts as a channel is the caller's: frames that share their coordinates are channels too.
struct SampleChunk {
  const void* src;  // channel 0 at (row 0, column 0)
  DType src_dtype;
  std::int32_t height, width;                              // of the source
  std::int64_t channel_stride, row_stride, column_stride;  // of the source, in elements
  std::int64_t channels;
  Border border;
  bool wraps;  // rows are periodic: row `height` is row 0 (a full circle's angles)

  int count;  // of samples

  void* out;  // channel 0 of the first pixel
  DType out_dtype;
  std::int64_t out_channel_stride, out_stride;  // in elements

  float scale = 1.0f;
  float offset = 0.0f;  // the bias, where `addend` is null
  const float* addend =
      nullptr;  // bias of channel c, pixel i: addend[c * channel stride + i * step]
  std::int64_t addend_channel_stride = 0;
  std::int64_t addend_stride = 0;
};

/// Rows of the first map in one register block, and columns of pixels in one tile.
constexpr int kTileRows = 3;
constexpr int kTileColumns = 16;

/// Correlation of kTileColumns pixels of up to kTileRows rows with shifted neighbours of one row:
/// out[row][shift][i] = scale * sum over c of f1[row][c][i] * f2[c][i + shift * step].
struct CorrelationTile {
  const float* f1[kTileRows];  // packed [channels][kTileColumns]
  float* out[kTileRows];       // shift 0 of each row; kTileColumns floats are written per shift
  int rows;                    // that are used
  const float* f2;             // packed [channels][f2_stride]
  std::int64_t f2_stride;
  std::int64_t out_stride;  // from one shift to the next
  std::int64_t channels;
  int shifts;
  std::int64_t step;  // columns from one shift to the next
  float scale;
};

/// Cartesian coordinates of a run of samples along one ray from a centre.
struct RayRun {
  float centre_x, centre_y;
  float across, down;  // the ray's direction, of length 1
  float first_radius;  // of sample 0, in pixels
  float radius_step;
  int first;  // sample of x[0]
  int count;
  float* x;  // out: [count]
  float* y;  // out: [count]
};

/// Polar coordinates of a run of at most kMaxChunk Cartesian pixels of one row.
struct PolarRun {
  float x, y;  // of the first pixel, relative to the centre, in pixels
  int count;
  AngularGrid grid;
  float first_radius, samples_per_pixel;  // of the radii
  float* radius;                          // out: [count], in samples
  float* angle;                           // out: [count], in samples
};

struct Kernels {
  const char* name;
  void (*find_places)(const SampleChunk&, const Coordinates&, const Places&) noexcept;
  /// Both in one pass, where that is faster: few channels, on a grid. False: this run must go the
  /// long way; its layout is another, or a sample was infinite or NaN, and `out` means nothing.
  bool (*sample_in_one_pass)(const SampleChunk&, const Coordinates&) noexcept;
  void (*sample)(const SampleChunk&, const Places&) noexcept;
  void (*correlate)(const CorrelationTile&) noexcept;
  void (*follow_ray)(const RayRun&) noexcept;
  void (*to_polar)(const PolarRun&) noexcept;
};

/// The table in use: the widest this machine runs, or the one CINEFLOW_ISA names.
const Kernels& kernels() noexcept;

}  // namespace cineflow
