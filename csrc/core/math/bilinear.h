// The sampling rule, the only copy: where a bilinear sample reads along one axis.
#pragma once

#include <cstdint>

#include "cineflow/warp.h"
#include "math/host_device.h"

namespace cineflow {

/// The two neighbours of a coordinate along one axis, and how much each counts.
struct Tap {
  std::int32_t low;  // index of the left (upper) neighbour; the other is low + 1
  float low_weight;  // in [0, 1]; the two sum to 1
  float high_weight;
  bool low_inside;  // an outside neighbour is never read and counts 0
  bool high_inside;
};

/// Tap of `coordinate` (in pixels) on an axis of `size` pixels.
///
/// The bounds are tested as !(in range), so that NaN lands outside; so does infinity, also where
/// the border clamps: a non-finite coordinate contributes 0 in every mode.
CINEFLOW_HD Tap tap_at(float coordinate, std::int32_t size, Border border) {
  const float last = static_cast<float>(size - 1);
  constexpr float kLargest = 3.402823466e+38f;
  if (border == Border::kClamp && coordinate >= -kLargest && coordinate <= kLargest) {
    coordinate = coordinate < 0.0f ? 0.0f : coordinate > last ? last : coordinate;
  }
  if (!(coordinate > -1.0f && coordinate < last + 1.0f)) return {0, 0.0f, 0.0f, false, false};
  // Floor: truncate, and step back where that went up.
  std::int32_t low = static_cast<std::int32_t>(coordinate);
  low -= static_cast<float>(low) > coordinate ? 1 : 0;
  const float high_weight = coordinate - static_cast<float>(low);
  return {low, 1.0f - high_weight, high_weight, low >= 0, low + 1 < size};
}

/// Bilinear sample of one plane; `load(row, column)` reads a pixel that is inside as f32.
template <typename Load>
CINEFLOW_HD float sample(const Tap& row, const Tap& column, const Load& load) {
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
