// The bilinear sampling rule: which pixels a sample reads along one axis, and their weights.
//
// Problem: CUDA threads, single pixels on the CPU and CPU vectors must agree to the bit on what is
// inside an image, and on what NaN and infinity do.
//
// Solution: the rule stands here once. CUDA threads and single pixels use tap_at() and
// bilinear_sample(). CPU vectors compute the same weights without branches (cpu/simd/corners.h),
// and share the range tests, which are written for one number or for a vector: `Numbers` names the
// types and the conversions.
//
// Usage: bilinear_sample(tap_at(y, height, border), tap_at(x, width, border), load)
#pragma once

#include <cstdint>

#include "cineflow/border.h"
#include "math/host_device.h"

namespace cineflow {

struct Scalar {
  using Real = float;
  using Int = std::int32_t;
  using Mask = bool;
  static CINEFLOW_HD Int truncate(Real value) { return static_cast<Int>(value); }
  static CINEFLOW_HD Real real(Int value) { return static_cast<Real>(value); }
  static CINEFLOW_HD Real splat(float value) { return value; }
};

/// Whether a coordinate (in pixels) has a neighbour on an axis of `size` pixels: in (-1, size).
///
/// The test asks "in range", never "out of range", so that NaN counts as outside. So does infinity,
/// even where the border clamps: a non-finite coordinate always contributes 0.
template <typename Numbers>
CINEFLOW_HD typename Numbers::Mask has_neighbours(typename Numbers::Real coordinate,
                                                  std::int32_t size) {
  return (coordinate > -1.0f) & (coordinate < static_cast<float>(size));
}

/// The coordinate; where the border clamps, a finite one is moved onto the axis.
template <typename Numbers>
CINEFLOW_HD typename Numbers::Real on_axis(typename Numbers::Real coordinate, std::int32_t size,
                                           Border border) {
  using Real = typename Numbers::Real;
  if (border != Border::kClamp) return coordinate;
  constexpr float kLargest = 3.402823466e+38f;
  const Real zero = Numbers::splat(0.0f);
  const Real last = Numbers::splat(static_cast<float>(size - 1));
  const Real edge = coordinate < zero ? zero : last;
  const typename Numbers::Mask beyond = ((coordinate < zero) & (coordinate >= -kLargest)) |
                                        ((coordinate > last) & (coordinate <= kLargest));
  return beyond ? edge : coordinate;
}

/// The two neighbours of a coordinate along one axis, and their weights.
struct Tap {
  std::int32_t low;  // the left (upper) neighbour; the other is low + 1
  float low_weight;  // in [0, 1]; the two sum to 1
  float high_weight;
  bool low_inside;  // an outside neighbour is never read and counts 0
  bool high_inside;
};

/// Tap of `coordinate` (in pixels) on an axis of `size` pixels.
CINEFLOW_HD Tap tap_at(float coordinate, std::int32_t size, Border border) {
  coordinate = on_axis<Scalar>(coordinate, size, border);
  const bool inside = has_neighbours<Scalar>(coordinate, size);
  if (!inside) coordinate = 0.0f;

  // Floor: truncate, then subtract 1 where that rounded up.
  const auto toward_zero = static_cast<std::int32_t>(coordinate);
  const std::int32_t low =
      static_cast<float>(toward_zero) > coordinate ? toward_zero - 1 : toward_zero;
  const float high_weight = coordinate - static_cast<float>(low);
  return {low, 1.0f - high_weight, high_weight, inside && low >= 0, inside && low + 1 < size};
}

/// Bilinear sample of one plane. `load(row, column)` reads a pixel that is inside, as f32.
template <typename Load>
CINEFLOW_HD float bilinear_sample(const Tap& row, const Tap& column, const Load& load) {
  float sum = 0.0f;
  if (row.low_inside) {
    if (column.low_inside) sum += row.low_weight * column.low_weight * load(row.low, column.low);
    if (column.high_inside)
      sum += row.low_weight * column.high_weight * load(row.low, column.low + 1);
  }
  if (row.high_inside) {
    if (column.low_inside)
      sum += row.high_weight * column.low_weight * load(row.low + 1, column.low);
    if (column.high_inside)
      sum += row.high_weight * column.high_weight * load(row.low + 1, column.low + 1);
  }
  return sum;
}

}  // namespace cineflow
