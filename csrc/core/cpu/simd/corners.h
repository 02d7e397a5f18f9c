// The four pixels around each sample of a vector, and their weights.
//
// Problem: math/bilinear.h states the rule for one sample, with branches: a corner outside is not
// read. A vector cannot branch per lane.
//
// Solution: corners outside are moved to the nearest pixel inside and get weight 0. For pixels
// inside the weights are those of tap_at(), bit by bit, because both round at the same steps. The
// result differs only where such a pixel is infinite or NaN, since 0 times that is NaN. The kernels
// notice that, and compute those samples again by the rule itself.
//
// Usage: corners_at(run, x, y) anywhere; weights_inside(x, y) where all corners are inside;
//   const F32s value = weighted_sum(rows, weights);
#pragma once

#include "cpu/sample_blocks.h"
#include "cpu/simd/pixel_pairs.h"
#include "cpu/simd/vec.h"
#include "math/bilinear.h"

namespace cineflow::CINEFLOW_ISA {

/// Weights of the corners of kLanes samples.
struct CornerWeights {
  F32s top_left, top_right, bottom_left, bottom_right;
};

/// Corners of kLanes samples, all of them inside.
struct VectorCorners {
  I32s top_offset;     // of the upper left corner, in elements
  I32s bottom_offset;  // of the lower left corner
  CornerWeights weights;
};

/// Two neighbouring pixels along one axis, both inside, and their weights.
struct AxisTaps {
  I32s low;  // the other is low + 1; an axis of one pixel has no other, and its weight is 0
  F32s low_weight, high_weight;
};

/// The first pixel of a pair on one axis, and how far behind it a sample is: in [-1, 2) pixels. A
/// sample that reads no pixel of the axis is at -1.
struct AxisPlace {
  I32s low;
  F32s distance;
};

/// Where coordinates (in pixels) lie on an axis of `size` pixels. `kSeveral`: size > 1.
template <bool kSeveral = false>
CINEFLOW_HD AxisPlace place_at(F32s coordinate, std::int32_t size, Border border) {
  coordinate = on_axis<Vectors>(coordinate, size, border);
  coordinate = has_neighbours<Vectors>(coordinate, size) ? coordinate : splat(-1.0f);
  const std::int32_t last = kSeveral || size > 1 ? size - 2 : 0;
  I32s low = Vectors::truncate(coordinate);
  low = low < 0 ? I32s{} : low;
  low = low > last ? I32s{} + last : low;
  return {low, coordinate - Vectors::real(low)};
}

/// The weights of two neighbouring pixels along one axis.
struct AxisWeights {
  F32s low, high;
};

/// A pixel's weight is 1 minus its distance, and 0 from distance 1 on.
CINEFLOW_HD AxisWeights axis_weights(F32s distance) {
  const F32s zero{};
  const F32s low = 1.0f - (distance < 0.0f ? -distance : distance);
  const F32s high = distance < 1.0f ? distance : 2.0f - distance;
  return {low > 0.0f ? low : zero, high > 0.0f ? high : zero};
}

/// Taps of coordinates (in pixels) on an axis of `size` pixels.
template <bool kSeveral = false>
CINEFLOW_HD AxisTaps taps_at(F32s coordinate, std::int32_t size, Border border) {
  const AxisPlace place = place_at<kSeveral>(coordinate, size, border);
  const AxisWeights weights = axis_weights(place.distance);
  if (!kSeveral && size == 1) return {place.low, weights.low, F32s{}};
  return {place.low, weights.low, weights.high};
}

/// The two rows of each sample, as offsets, and their weights.
struct RowTaps {
  I32s top_offset, bottom_offset;
  F32s top_weight, bottom_weight;
};

/// `kPlain` as in corners_at.
template <bool kPlain>
CINEFLOW_HD RowTaps row_taps_at(const SampleRun& run, F32s y) {
  const auto stride = static_cast<std::int32_t>(run.row_stride);
  if (!kPlain && run.wraps) {
    // Coordinates are in [0, height). On an axis that is one pixel longer, the wrapped neighbour of
    // the last row, which is row 0, lies inside.
    const AxisTaps row = taps_at(y, run.height + 1, Border::kZeros);
    const I32s high = row.low + 1;
    return {row.low * stride, (high == run.height ? I32s{} : high) * stride, row.low_weight,
            row.high_weight};
  }
  const AxisTaps row = taps_at<kPlain>(y, run.height, run.border);
  const I32s top = row.low * stride;
  return {top, kPlain || run.height > 1 ? top + stride : top, row.low_weight, row.high_weight};
}

/// Corners of samples anywhere. `kPlain`: rows are not periodic, and the source has at least two
/// rows and two columns.
template <bool kPlain = false>
CINEFLOW_HD VectorCorners corners_at(const SampleRun& run, F32s x, F32s y) {
  const AxisTaps column = taps_at<kPlain>(x, run.width, run.border);
  const RowTaps row = row_taps_at<kPlain>(run, y);
  const I32s left = column.low * static_cast<std::int32_t>(run.column_stride);
  return {row.top_offset + left,
          row.bottom_offset + left,
          {row.top_weight * column.low_weight, row.top_weight * column.high_weight,
           row.bottom_weight * column.low_weight, row.bottom_weight * column.high_weight}};
}

/// Weights of samples with all corners inside, from their distances to the upper left corner, in
/// pixels. The same bits as corners_at.
CINEFLOW_HD CornerWeights weights_inside(F32s right_weight, F32s bottom_weight) {
  const F32s left_weight = 1.0f - right_weight;
  const F32s top_weight = 1.0f - bottom_weight;
  return {top_weight * left_weight, top_weight * right_weight, bottom_weight * left_weight,
          bottom_weight * right_weight};
}

/// The weighted sum of the corners. `rows` holds the upper and the lower row.
CINEFLOW_HD F32s weighted_sum(const PixelPairs (&rows)[2], const CornerWeights& weights) {
  F32s sum = rows[0].left * weights.top_left;
  sum = multiply_add(rows[0].right, weights.top_right, sum);
  sum = multiply_add(rows[1].left, weights.bottom_left, sum);
  return multiply_add(rows[1].right, weights.bottom_right, sum);
}

}  // namespace cineflow::CINEFLOW_ISA
