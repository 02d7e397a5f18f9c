// Reads located samples (cpu/sample_blocks.h): their offsets, weights and pixels.
#pragma once

#include <type_traits>

#include "cpu/simd/corners.h"
#include "cpu/simd/vec.h"
#include "math/bilinear.h"

namespace cineflow::CINEFLOW_ISA {

CINEFLOW_HD const std::int32_t* top_offsets_at(const SampleBlocks& blocks, int start) {
  return blocks.samples[start / kBlockSamples].top_offset + start % kBlockSamples;
}

/// Only for vectors with a corner outside.
CINEFLOW_HD const std::int32_t* bottom_offsets_at(const SampleBlocks& blocks, int start) {
  return blocks.edges[start / kBlockSamples].bottom_offset + start % kBlockSamples;
}

/// The samples with a corner outside, in the vector that begins at `start`.
CINEFLOW_HD Lanes outside_at(const SampleBlocks& blocks, int start) {
  return blocks.outside[start / kBlockSamples] >> start % kBlockSamples & kAllLanes;
}

/// Whether one sample has a corner outside.
CINEFLOW_HD bool has_corner_outside(const SampleBlocks& blocks, int index) {
  return (blocks.outside[index / kBlockSamples] >> index % kBlockSamples & 1u) != 0;
}

/// The bit in `outside` of a block of a panel that is set where the vector that begins `within` it
/// reads no pixel. Vectors have 4 samples or more.
CINEFLOW_HD std::uint32_t nothing_bit(int within) {
  return std::uint32_t{1} << (kBlockSamples + within / 4);
}

/// The bit in `outside` of a block of a panel that is set where the vector that begins `within` it
/// has a corner outside, and its block holds an offset and distances to that pixel all the same: of
/// the nearest pixel inside that has a right and a lower neighbour, from -1 to 2 pixels.
CINEFLOW_HD std::uint32_t distances_bit(int within) { return nothing_bit(within) << 4; }

/// Whether edges of a panel are kept as distances_bit() says: where pixels are adjacent, and a
/// pixel's row and column follow from its offset.
CINEFLOW_HD bool keeps_distances(const SampleRun& run) {
  return run.column_stride == 1 && run.width > 1 && run.height > 1 && run.row_stride >= run.width;
}

/// One sample with a corner outside, at (x, y), by the rule of math/bilinear.h.
template <typename Source>
float sample_by_rule(const SampleRun& run, const Source* plane, float x, float y) {
  const Tap column = tap_at(x, run.width, run.border);
  const Tap row =
      run.wraps ? tap_at(y, run.height + 1, Border::kZeros) : tap_at(y, run.height, run.border);
  return bilinear_sample(row, column, [&](std::int32_t r, std::int32_t c) {
    if (r == run.height) r = 0;
    return to_float(plane[r * run.row_stride + c * run.column_stride]);
  });
}

/// The same for sample `index` of a run, or of a panel whose block holds positions.
template <typename Source>
float sample_by_rule(const SampleRun& run, const SampleBlocks& blocks, const Source* plane,
                     int index) {
  const SampleBlock& here = blocks.samples[index / kBlockSamples];
  const int within = index % kBlockSamples;
  return sample_by_rule(run, plane, here.x[within], here.y[within]);
}

/// Weights that are computed again for each channel: for few channels, where arithmetic is cheaper
/// than stores.
struct ComputedWeights {
  SampleBlocks blocks;

  /// Of a vector of the block `here` that begins at sample `within` of it, and at sample `start` of
  /// the run. All of its corners are inside.
  CINEFLOW_HD CornerWeights inside_at(const SampleBlock& here, int within, int /*start*/) const {
    return weights_inside(load(here.x + within), load(here.y + within));
  }

  CINEFLOW_HD CornerWeights at(int start) const {
    const int block = start / kBlockSamples;
    const int within = start % kBlockSamples;
    if (outside_at(blocks, start) == 0) return inside_at(blocks.samples[block], within, start);
    const EdgeBlock& edges = blocks.edges[block];
    return {load(edges.top_left + within), load(edges.top_right + within),
            load(edges.bottom_left + within), load(edges.bottom_right + within)};
  }
};

/// How the four corners of a sample lie in memory.
enum class Layout {
  kAdjacent,  // right neighbours next to left ones, the lower row one stride after the upper row;
              // at least two rows and columns
  kWrapping,  // the same, but the lower row may be the first row of the source
  kStrided,   // right neighbours `column_stride` elements away
};

/// Distance from a pixel to its neighbours, in elements; 0 on an axis of one pixel.
struct Steps {
  explicit Steps(const SampleRun& run)
      : right(run.width > 1 ? run.column_stride : 0), down(run.height > 1 ? run.row_stride : 0) {}
  std::int64_t right, down;
};

/// Loads the corners of a vector whose first upper left corner is at `plane + top[0]`. All are
/// inside.
template <Layout kLayout, typename Source>
CINEFLOW_HD void load_corners_inside(const std::int32_t* top, const Source* plane,
                                     const Steps& steps, PixelPairs (&rows)[2]) {
  if constexpr (kLayout == Layout::kStrided) {
    rows[0] = load_strided_pairs(plane, top, steps.right);
    rows[1] = load_strided_pairs(plane + steps.down, top, steps.right);
  } else {
    load_pairs({plane, plane + steps.down}, top, rows);
  }
}

/// Loads corners whose lower row need not follow the upper one. Not for Layout::kAdjacent.
template <Layout kLayout, typename Source>
CINEFLOW_HD void load_corner_rows(const Source* plane, const std::int32_t* top,
                                  const std::int32_t* bottom, const Steps& steps,
                                  PixelPairs (&rows)[2]) {
  if constexpr (kLayout == Layout::kStrided) {
    rows[0] = load_strided_pairs(plane, top, steps.right);
    rows[1] = load_strided_pairs(plane, bottom, steps.right);
  } else {
    PixelPairs row[1];
    load_pairs({plane}, top, row);
    rows[0] = row[0];
    load_pairs({plane}, bottom, row);
    rows[1] = row[0];
  }
}

/// Loads the corners of the vector that begins at `start`.
template <Layout kLayout, typename Source>
CINEFLOW_HD void load_corners(const SampleBlocks& blocks, const Source* plane, const Steps& steps,
                              bool wraps, int start, PixelPairs (&rows)[2]) {
  // The lower row follows the upper one, except where a sample has a corner outside.
  const bool may_wrap = kLayout != Layout::kAdjacent && wraps && outside_at(blocks, start) != 0;
  const std::int32_t* top = top_offsets_at(blocks, start);
  if (!may_wrap) return load_corners_inside<kLayout>(top, plane, steps, rows);
  load_corner_rows<kLayout>(plane, top, bottom_offsets_at(blocks, start), steps, rows);
}

/// Calls `body(std::integral_constant<Layout, ...>)` with the layout of a run's source.
template <typename Body>
void with_layout(const SampleRun& run, const Body& body) {
  if (run.column_stride != 1 || run.width == 1 || run.height == 1) {
    body(std::integral_constant<Layout, Layout::kStrided>{});
  } else if (run.wraps) {
    body(std::integral_constant<Layout, Layout::kWrapping>{});
  } else {
    body(std::integral_constant<Layout, Layout::kAdjacent>{});
  }
}

}  // namespace cineflow::CINEFLOW_ISA
