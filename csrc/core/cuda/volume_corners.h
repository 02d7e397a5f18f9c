// The eight neighbours of a trilinear sample, computed once and read for every channel.
#pragma once

#include <cstdint>

#include "cineflow/tensor_view.h"
#include "math/bilinear.h"
#include "math/storage.h"

namespace cineflow {

/// Bits of a neighbour's number: 1 right, 2 down, 4 in the next slice.
struct VolumeCorners {
  std::int32_t offset[8];  // in elements, from the start of the volume; Rules::extent bounds it
  float weight[8];
  bool inside[8];  // an outside neighbour is never read and counts 0
};

/// Neighbours of the position (x, y, z) in a volume [N, C, D, H, W].
CINEFLOW_HD VolumeCorners corners_at(const TensorView& volume, Border border, float x, float y,
                                     float z) {
  const Tap column = tap_at(x, static_cast<std::int32_t>(volume.sizes[4]), border);
  const Tap row = tap_at(y, static_cast<std::int32_t>(volume.sizes[3]), border);
  const Tap slice = tap_at(z, static_cast<std::int32_t>(volume.sizes[2]), border);
  VolumeCorners corners;
#pragma unroll
  for (int corner = 0; corner < 8; ++corner) {
    const int right = corner & 1;
    const int down = corner >> 1 & 1;
    const int back = corner >> 2;
    corners.inside[corner] = (back ? slice.high_inside : slice.low_inside) &&
                             (down ? row.high_inside : row.low_inside) &&
                             (right ? column.high_inside : column.low_inside);
    corners.weight[corner] = (back ? slice.high_weight : slice.low_weight) *
                             (down ? row.high_weight : row.low_weight) *
                             (right ? column.high_weight : column.low_weight);
    // Unsigned, because the product is meaningless where the neighbour is outside.
    const auto along = [](std::int32_t position, std::int64_t stride) {
      return static_cast<std::uint32_t>(position) * static_cast<std::uint32_t>(stride);
    };
    corners.offset[corner] = static_cast<std::int32_t>(
        along(slice.low + back, volume.strides[2]) + along(row.low + down, volume.strides[3]) +
        along(column.low + right, volume.strides[4]));
  }
  return corners;
}

/// The sample of one channel at these corners.
template <typename T>
CINEFLOW_HD float sample_corners(const T* volume, const VolumeCorners& corners) {
  float sum = 0.0f;
#pragma unroll
  for (int corner = 0; corner < 8; ++corner) {
    const float value = corners.inside[corner] ? to_float(volume[corners.offset[corner]]) : 0.0f;
    sum += corners.weight[corner] * value;
  }
  return sum;
}

}  // namespace cineflow
