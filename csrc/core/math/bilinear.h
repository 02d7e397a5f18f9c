// The sampling rule, the only copy: where a bilinear sample reads along one axis.
//
// It is written for one number or for a vector of them: `Numbers` names the types and the two
// conversions. CUDA threads and edge pixels use Scalar, the CPU's fast path its own vectors.
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

/// The two neighbours of a coordinate along one axis, and how much each counts.
template <typename Numbers = Scalar>
struct Tap {
  typename Numbers::Int low;          // the left (upper) neighbour; the other is low + 1
  typename Numbers::Real low_weight;  // in [0, 1]; the two sum to 1
  typename Numbers::Real high_weight;
  typename Numbers::Mask low_inside;  // an outside neighbour is never read and counts 0
  typename Numbers::Mask high_inside;
};

/// Tap of `coordinate` (in pixels) on an axis of `size` pixels.
///
/// The bounds are tested as "in range", never as "out of range", so that NaN lands outside; so
/// does infinity, also where the border clamps: a non-finite coordinate contributes 0 always.
template <typename Numbers = Scalar>
CINEFLOW_HD Tap<Numbers> tap_at(typename Numbers::Real coordinate, std::int32_t size,
                                Border border) {
  using Real = typename Numbers::Real;
  using Int = typename Numbers::Int;
  using Mask = typename Numbers::Mask;
  const Real zero = Numbers::splat(0.0f);
  const Real last = Numbers::splat(static_cast<float>(size - 1));
  if (border == Border::kClamp) {
    constexpr float kLargest = 3.402823466e+38f;
    const Real edge = coordinate < zero ? zero : last;
    const Mask beyond = ((coordinate < zero) & (coordinate >= -kLargest)) |
                        ((coordinate > last) & (coordinate <= kLargest));
    coordinate = beyond ? edge : coordinate;
  }
  const Mask inside = (coordinate > -1.0f) & (coordinate < last + 1.0f);
  coordinate = inside ? coordinate : zero;

  // Floor: truncate, and step back where that went up.
  const Int toward_zero = Numbers::truncate(coordinate);
  const Int low = Numbers::real(toward_zero) > coordinate ? toward_zero - 1 : toward_zero;
  const Real high_weight = coordinate - Numbers::real(low);
  const Mask low_inside = inside & (low >= 0);
  const Mask high_inside = inside & (low + 1 < size);
  return {low, 1.0f - high_weight, high_weight, low_inside, high_inside};
}

/// Bilinear sample of one plane; `load(row, column)` reads a pixel that is inside as f32.
template <typename Load>
CINEFLOW_HD float sample(const Tap<>& row, const Tap<>& column, const Load& load) {
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
