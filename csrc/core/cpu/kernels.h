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

/// Floats of a coordinate array: kernels write whole vectors, which may end beyond the last pixel.
constexpr int kCoordinateRoom = kMaxChunk + 16;

/// Samples of every channel at one run of at most kMaxChunk output pixels:
/// out[c][i] = bias + scale * channel_c(y[i], x[i]), bilinear.
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

  const float* x;  // columns, [count], in pixels of the source
  const float* y;  // rows
  int count;

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

/// Where the flow of a run of pixels in one row points: x[i] = column + i + across[i * step].
struct FlowRun {
  const float* across;  // flow's channel 0, in pixels
  const float* down;    // channel 1
  std::int64_t step;    // from one pixel's flow to the next, in elements
  float column, row;    // of the first pixel
  int count;
  float* x;  // out: [count]
  float* y;  // out: [count]
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
  void (*sample)(const SampleChunk&) noexcept;
  void (*correlate)(const CorrelationTile&) noexcept;
  void (*follow_flow)(const FlowRun&) noexcept;
  void (*follow_ray)(const RayRun&) noexcept;
  void (*to_polar)(const PolarRun&) noexcept;
};

/// The table in use: the widest this machine runs, or the one CINEFLOW_ISA names.
const Kernels& kernels() noexcept;

}  // namespace cineflow
