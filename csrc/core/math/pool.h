// Means of means of 2 x 2 pixels: a pixel of a further level, from the pixels of level 0.
#pragma once

#include <cstdint>

#include "math/host_device.h"

namespace cineflow {

CINEFLOW_HD float mean_of(float upper_left, float upper_right, float lower_left,
                          float lower_right) {
  return 0.25f * ((upper_left + upper_right) + (lower_left + lower_right));
}

/// Pixel (y, x) of level `kLevel`. `load(y, x)` reads a pixel of level 0 as f32.
template <int kLevel, typename Load>
CINEFLOW_HD float pooled(const Load& load, std::int64_t y, std::int64_t x) {
  if constexpr (kLevel == 0) {
    return load(y, x);
  } else {
    return mean_of(
        pooled<kLevel - 1>(load, 2 * y, 2 * x), pooled<kLevel - 1>(load, 2 * y, 2 * x + 1),
        pooled<kLevel - 1>(load, 2 * y + 1, 2 * x), pooled<kLevel - 1>(load, 2 * y + 1, 2 * x + 1));
  }
}

/// The same for a level that is known at run time, 0 to 3.
template <typename Load>
CINEFLOW_HD float pooled(const Load& load, int level, std::int64_t y, std::int64_t x) {
  switch (level) {
    case 0:
      return pooled<0>(load, y, x);
    case 1:
      return pooled<1>(load, y, x);
    case 2:
      return pooled<2>(load, y, x);
    default:
      return pooled<3>(load, y, x);
  }
}

}  // namespace cineflow
