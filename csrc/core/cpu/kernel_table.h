// The inner kernels: one table of function pointers per instruction set.
//
// Problem: one build must run on any x86 machine and still use AVX-512 where the machine has it. A
// kernel compiled for AVX-512 must never run on a machine without it.
//
// Solution: the code that runs per pixel is in cpu/simd/. Those files are compiled once per
// instruction set, each time into a separate namespace, and simd/table.cpp fills a Kernels with the
// functions of that namespace. isa_dispatch.cpp chooses the table. The callers (rows, threads,
// layouts of whole tensors) are compiled once.
//
// Usage: kernels().correlate(tile);
//
// To add a kernel: a function type and a pointer here, a declaration in simd/kernels.h, a row in
// simd/table.cpp.
#pragma once

#include <cstdint>

#include "cpu/all_pairs_tiles.h"
#include "cpu/cell_rows.h"
#include "cpu/matrix_product.h"
#include "cpu/patches.h"
#include "cpu/sample_blocks.h"
#include "cpu/volume_run.h"
#include "math/pair_blocks.h"
#include "math/polar.h"

namespace cineflow {

/// Rows of the first map in one register block, and columns of pixels in one tile.
constexpr int kTileRows = 3;
constexpr int kTileColumns = 16;

/// Correlation of kTileColumns pixels of up to kTileRows rows with shifted neighbours in one row:
/// out[row][shift][i] = scale * sum over c of f1[row][c][i] * f2[c][i + shift * step].
struct CorrelationTile {
  const float* f1[kTileRows];  // packed [channels][kTileColumns]
  float* out[kTileRows];       // shift 0 of each row; `columns` floats are written per shift
  int rows;                    // how many of the kTileRows are used
  int columns;                 // how many of the kTileColumns are used
  const float* f2;             // packed [channels][f2_stride]
  std::int64_t f2_stride;
  std::int64_t out_stride;  // from one shift to the next
  std::int64_t channels;
  int shifts;
  std::int64_t step;  // columns from one shift to the next
  float scale;
};

/// Copies a row of every channel to f32, in pieces of kTileColumns pixels (the last may be
/// shorter): to[piece * piece_stride + c * to_stride + i] = channel c at pixel piece * kTileColumns
/// + i.
struct RowPacking {
  const void* from;                            // channel 0 of the first pixel
  DType dtype;                                 // not u8
  std::int64_t channel_stride, column_stride;  // of `from`, in elements
  std::int64_t channels, columns;
  float* to;
  std::int64_t to_stride, piece_stride;
};

/// Correlation of two rows: out[shift][i] = scale * sum over c of f1[c][i] * f2[c][i + shift *
/// step].
struct CorrelationRow {
  const float* f1;  // packed [channels][f1_stride], whole vectors
  const float* f2;  // packed [channels][f2_stride], whole vectors for the last shift also
  float* out;       // shift 0; `columns` floats are written per shift
  std::int64_t f1_stride, f2_stride;
  std::int64_t out_stride;  // from one shift to the next
  std::int64_t channels;
  std::int64_t columns;
  int shifts;
  std::int64_t step;  // columns from one shift to the next
  float scale;
};

/// Cartesian positions of consecutive samples on one ray from a centre.
struct RayRun {
  float centre_x, centre_y;
  float across, down;  // the ray's direction, of length 1
  float first_radius;  // of sample 0, in pixels
  float radius_step;
  int first;  // number of the sample at x[0]
  int count;
  float* x;  // out: [count]
  float* y;  // out: [count]
};

/// Polar positions of up to kMaxRun Cartesian pixels of one row.
struct PolarRun {
  float x, y;  // first pixel, relative to the centre, in pixels
  int count;
  AngularGrid grid;
  float first_radius, samples_per_pixel;  // of the radii
  bool ends_sharply = false;              // as position_in_sector(), which takes both sizes:
  std::int64_t angles = 0, radii = 0;
  float* radius;  // out: [count], in samples
  float* angle;   // out: [count], in samples
};

/// One row of a pair, padded for the blocks: whole vectors are written.
struct PairRow {
  const void* previous;      // [count], grey levels
  DType previous_dtype;      // f32 or u8
  const float* warped;       // [count], the next frame at the moved pixels
  const std::uint8_t* mask;  // [count]; null: in use is what is above 0 in either frame
  int count;
  float* a;       // out: the previous frame
  float* twice;   // out: the sum of both frames
  float* inside;  // out: 1 where the pixel is in use, else 0
  float* sums;    // out: [2], sums of both frames over the row
};

/// A block of up to 16 rows and 16 columns. One more pixel is read on each side; pixels that are
/// not in use, or outside, have 0 in `inside`.
struct PairBlock {
  const float* a;
  const float* b;
  const float* twice;
  const float* inside;
  std::int64_t pitch;  // from one row to the next, of all four
  int rows;
  PairBlockSums* sums;  // out
};

struct Kernels {
  using LocateSamples = void(const SampleRun&, const SamplePositions&,
                             const SampleBlocks&) noexcept;
  using SampleLocated = void(const SampleRun&, const SampleBlocks&) noexcept;
  using LocatePanelRow = void(const SampleRun&, const SamplePositions&, const SampleBlocks&,
                              int step) noexcept;
  using SamplePanel = void(const PanelRun&, const SampleBlocks&) noexcept;
  using SampleVolume = void(const VolumeRun&, const VolumePositions&) noexcept;
  using PackRow = void(const RowPacking&) noexcept;
  using Correlate = void(const CorrelationTile&) noexcept;
  using CorrelateRow = void(const CorrelationRow&) noexcept;
  using PoolPlane = void(const float* from, std::int64_t height, std::int64_t width,
                         float* to) noexcept;
  using LookUp = void(const LookupRun&) noexcept;
  using DotRows = void(const DotRow&) noexcept;
  using FollowRay = void(const RayRun&) noexcept;
  using ToPolar = void(const PolarRun&) noexcept;
  using PreparePairRow = void(const PairRow&) noexcept;
  using SumPairBlock = void(const PairBlock&) noexcept;
  using SamplePatch = void(const PatchSampling&) noexcept;
  using MultiplyMatrices = void(const MatrixProduct&) noexcept;
  using PairPixels = void(const PixelPair&) noexcept;
  using GatherCells = void(const CellGather&) noexcept;
  using SumWindow = void(const WindowSum&) noexcept;
  using OnCells = void(const CellRow&) noexcept;
  using SumBlock = double(const float* first, std::int64_t pitch, int rows, int columns) noexcept;
  using AllFinite = bool(const void* values, DType dtype, std::int64_t count) noexcept;

  const char* name;  // "avx512", "avx2" or "baseline"

  /// Offsets and weights of a run's samples, for every channel.
  LocateSamples* locate_samples;
  /// Samples of every channel at located samples.
  SampleLocated* sample_located;
  /// Samples of every channel of a run of a volume.
  SampleVolume* sample_volume;
  PackRow* pack_row;
  Correlate* correlate;
  CorrelateRow* correlate_row;
  PoolPlane* pool_plane;  // means of 2 x 2 pixels of a plane [height][width]
  LookUp* look_up;
  DotRows* dot_row;
  FollowRay* follow_ray;
  ToPolar* to_polar;
  PreparePairRow* prepare_pair_row;
  SumPairBlock* sum_pair_block;
  SumBlock* sum_block;  // of up to 16 columns
  AllFinite* all_finite;
  SamplePatch* sample_patch;
  MultiplyMatrices* multiply_matrices;
  /// Offsets and weights of one row of a panel, whose blocks are `step` blocks apart.
  LocatePanelRow* locate_panel_row;
  /// Samples of every channel of a panel.
  SamplePanel* sample_panel;
  PairPixels* pair_pixels;
  GatherCells* gather_cells;
  SumWindow* sum_window;
  OnCells* weigh_cells;    // weight, and the weighted equations
  OnCells* solve_cells;    // inverse and flow, from the windowed equations
  OnCells* explain_cells;  // the variance that the flow leaves unexplained
  OnCells* leave_cells;    // the weighted targets that the flow leaves
  OnCells* refine_cells;   // the flow, by the windowed targets that it left
};

/// The table in use: the widest that this machine runs, or the one that CINEFLOW_ISA names.
const Kernels& kernels() noexcept;

}  // namespace cineflow
