// The four pixels around each sample of a vector, and how much each counts.
#pragma once

#include "cpu/kernels.h"
#include "cpu/simd/vec.h"
#include "math/bilinear.h"

namespace cineflow::CINEFLOW_ISA {

/// How much each corner of kLanes samples counts.
struct Weights {
  F32s top_left, top_right, bottom_left, bottom_right;
};

/// Where kLanes samples read. Corners outside are moved to the nearest pixels inside, with weight
/// 0.
struct Corners {
  I32s top;     // offset of the upper left corner, in elements
  I32s bottom;  // of the lower left one
  Weights weights;
};

/// A tap moved inside: both neighbours exist, outside ones have weight 0.
struct Inside {
  I32s low;
  F32s low_weight;
  F32s high_weight;
};

CINEFLOW_HD Inside moved_inside(const Tap<Vectors>& tap, std::int32_t size) {
  const F32s zero{};
  const F32s low_weight = tap.low_inside ? tap.low_weight : zero;
  const F32s high_weight = tap.high_inside ? tap.high_weight : zero;
  if (size == 1) return {I32s{}, low_weight + high_weight, zero};
  const I32s before = tap.low < 0;         // only the high neighbour is inside
  const I32s beyond = tap.low > size - 2;  // only the low one
  return {before   ? I32s{}
          : beyond ? I32s{} + (size - 2)
                   : tap.low,
          before   ? high_weight
          : beyond ? zero
                   : low_weight,
          before   ? zero
          : beyond ? low_weight
                   : high_weight};
}

/// The two rows of each sample, as offsets, and their weights.
struct Rows {
  I32s top, bottom;
  F32s upper, lower;
};

CINEFLOW_HD Rows rows_at(const SampleChunk& chunk, F32s y) {
  const auto stride = static_cast<std::int32_t>(chunk.row_stride);
  if (chunk.wraps) {
    // Coordinates are in [0, height): on an axis one longer than it is, the wrapped neighbour of
    // the last row, row 0, is inside.
    const Inside row =
        moved_inside(tap_at<Vectors>(y, chunk.height + 1, Border::kZeros), chunk.height + 1);
    const I32s high = row.low + 1;
    return {row.low * stride, (high == chunk.height ? I32s{} : high) * stride, row.low_weight,
            row.high_weight};
  }
  const Inside row = moved_inside(tap_at<Vectors>(y, chunk.height, chunk.border), chunk.height);
  const I32s top = row.low * stride;
  return {top, chunk.height > 1 ? top + stride : top, row.low_weight, row.high_weight};
}

/// The samples whose four corners are inside.
CINEFLOW_HD Lanes lanes_inside(const SampleChunk& chunk, F32s x, F32s y) {
  return lanes_below(x, static_cast<float>(chunk.width - 1)) &
         lanes_below(y, static_cast<float>(chunk.height - 1));
}

/// Corners of any samples.
CINEFLOW_HD Corners corners_anywhere(const SampleChunk& chunk, F32s x, F32s y) {
  const Inside column = moved_inside(tap_at<Vectors>(x, chunk.width, chunk.border), chunk.width);
  const Rows row = rows_at(chunk, y);
  const I32s left = column.low * static_cast<std::int32_t>(chunk.column_stride);
  return {row.top + left,
          row.bottom + left,
          {row.upper * column.low_weight, row.upper * column.high_weight,
           row.lower * column.low_weight, row.lower * column.high_weight}};
}

/// Weights of samples that all lie inside, so far beyond their upper left corners: the numbers of
/// corners_anywhere, bit by bit, without the questions.
CINEFLOW_HD Weights weights_inside(F32s right_weight, F32s lower) {
  const F32s left_weight = 1.0f - right_weight;
  const F32s upper = 1.0f - lower;
  return {upper * left_weight, upper * right_weight, lower * left_weight, lower * right_weight};
}

}  // namespace cineflow::CINEFLOW_ISA
