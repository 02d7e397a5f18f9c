// The four neighbours of a bilinear sample, computed once and read for every channel.
#pragma once

#include <cstdint>

#include "math/bilinear.h"
#include "math/storage.h"

namespace cineflow {

/// Neighbours: 0 upper left, 1 upper right, 2 lower left, 3 lower right.
struct Corners {
  std::int32_t offset[4];  // in elements, from the start of the plane; Rules::plane bounds it
  float weight[4];
  bool inside[4];  // an outside neighbour is never read and counts 0
};

CINEFLOW_HD Corners corners_of(const Tap& row, const Tap& column, std::int32_t row_stride,
                               std::int32_t column_stride) {
  Corners corners;
#pragma unroll
  for (int corner = 0; corner < 4; ++corner) {
    const int down = corner / 2;
    const int right = corner % 2;
    corners.inside[corner] = (down ? row.high_inside : row.low_inside) &&
                             (right ? column.high_inside : column.low_inside);
    corners.weight[corner] = (down ? row.high_weight : row.low_weight) *
                             (right ? column.high_weight : column.low_weight);
    // Unsigned, because the product is meaningless where the neighbour is outside.
    corners.offset[corner] = static_cast<std::int32_t>(
        static_cast<std::uint32_t>(row.low + down) * static_cast<std::uint32_t>(row_stride) +
        static_cast<std::uint32_t>(column.low + right) * static_cast<std::uint32_t>(column_stride));
  }
  return corners;
}

/// The sample of one plane at these corners.
template <typename T>
CINEFLOW_HD float sample_corners(const T* plane, const Corners& corners) {
  float sum = 0.0f;
#pragma unroll
  for (int corner = 0; corner < 4; ++corner) {
    const float value = corners.inside[corner] ? to_float(plane[corners.offset[corner]]) : 0.0f;
    sum += corners.weight[corner] * value;
  }
  return sum;
}

}  // namespace cineflow
