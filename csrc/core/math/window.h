// Where the window of a look-up begins along one axis.
#pragma once

#include <cstdint>

#include "math/host_device.h"

namespace cineflow {

struct WindowStart {
  std::int32_t first;  // pixel of the first sample, may be outside
  float fraction;      // weight of the pixel after it, in [0, 1], for every sample
};

/// The window of radius r around a coordinate (in pixels) on an axis of `size` pixels. Where no
/// sample is in (-1, size), as where the coordinate is not finite, it begins after the last pixel.
CINEFLOW_HD WindowStart window_at(float coordinate, int radius, std::int32_t size) {
  const bool reaches = coordinate > static_cast<float>(-radius - 1) &&
                       coordinate < static_cast<float>(size) + static_cast<float>(radius);
  if (!reaches) return {size, 0.0f};
  const auto toward_zero = static_cast<std::int32_t>(coordinate);
  const std::int32_t low =
      static_cast<float>(toward_zero) > coordinate ? toward_zero - 1 : toward_zero;
  return {low - radius, coordinate - static_cast<float>(low)};
}

/// What one pixel of level `level` is of one pixel of level 0.
CINEFLOW_HD float level_scale(int level) { return 1.0f / static_cast<float>(1 << level); }

}  // namespace cineflow
