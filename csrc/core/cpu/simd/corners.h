// The four pixels around each sample of a vector, and how much each counts.
#pragma once

#include "cpu/kernels.h"
#include "cpu/simd/neighbours.h"
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

/// Two neighbours along one axis, both inside, and how much they count.
struct Neighbours {
  I32s low;  // the other is low + 1; on an axis of one pixel there is none, with weight 0
  F32s low_weight, high_weight;
};

/// Neighbours of coordinates (in pixels) on an axis of `size` pixels.
///
/// `kSeveral`: it is known to have more than one.
/// A pixel counts 1 minus its distance, and 0 from 1 on. For pixels inside these are the weights
/// of tap_at, bit by bit: only there are they rounded where those are.
template <bool kSeveral = false>
CINEFLOW_HD Neighbours neighbours_at(F32s coordinate, std::int32_t size, Border border) {
  const F32s zero{};
  coordinate = on_axis<Vectors>(coordinate, size, border);
  coordinate = has_neighbours<Vectors>(coordinate, size) ? coordinate : splat(-1.0f);
  const std::int32_t last = kSeveral || size > 1 ? size - 2 : 0;
  I32s low = Vectors::truncate(coordinate);
  low = low < 0 ? I32s{} : low;
  low = low > last ? I32s{} + last : low;
  const F32s beyond = coordinate - Vectors::real(low);  // in [-1, 2)
  const F32s low_weight = 1.0f - (beyond < 0.0f ? -beyond : beyond);
  if (!kSeveral && size == 1) return {low, low_weight, zero};
  const F32s high_weight = beyond < 1.0f ? beyond : 2.0f - beyond;
  return {low, low_weight > 0.0f ? low_weight : zero, high_weight > 0.0f ? high_weight : zero};
}

/// The two rows of each sample, as offsets, and their weights.
struct Rows {
  I32s top, bottom;
  F32s upper, lower;
};

template <bool kPlain>
CINEFLOW_HD Rows rows_at(const SampleChunk& chunk, F32s y) {
  const auto stride = static_cast<std::int32_t>(chunk.row_stride);
  if (!kPlain && chunk.wraps) {
    // Coordinates are in [0, height): on an axis one longer than it is, the wrapped neighbour of
    // the last row, row 0, is inside.
    const Neighbours row = neighbours_at(y, chunk.height + 1, Border::kZeros);
    const I32s high = row.low + 1;
    return {row.low * stride, (high == chunk.height ? I32s{} : high) * stride, row.low_weight,
            row.high_weight};
  }
  const Neighbours row = neighbours_at<kPlain>(y, chunk.height, chunk.border);
  const I32s top = row.low * stride;
  return {top, kPlain || chunk.height > 1 ? top + stride : top, row.low_weight, row.high_weight};
}

/// The samples whose four corners are inside.
CINEFLOW_HD Lanes lanes_inside(const SampleChunk& chunk, F32s x, F32s y) {
  return lanes_below(x, static_cast<float>(chunk.width - 1)) &
         lanes_below(y, static_cast<float>(chunk.height - 1));
}

/// Corners of any samples. `kPlain`: rows are not periodic, and there are two rows and two
/// columns at least.
template <bool kPlain = false>
CINEFLOW_HD Corners corners_anywhere(const SampleChunk& chunk, F32s x, F32s y) {
  const Neighbours column = neighbours_at<kPlain>(x, chunk.width, chunk.border);
  const Rows row = rows_at<kPlain>(chunk, y);
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

/// The sum of the corners, of the upper row and the lower one.
CINEFLOW_HD F32s weighted(const Pairs (&rows)[2], const Weights& weights) {
  F32s sum = rows[0].left * weights.top_left;
  sum = multiply_add(rows[0].right, weights.top_right, sum);
  sum = multiply_add(rows[1].left, weights.bottom_left, sum);
  return multiply_add(rows[1].right, weights.bottom_right, sum);
}

}  // namespace cineflow::CINEFLOW_ISA
