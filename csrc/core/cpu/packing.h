// How the correlations pack rows of features: as f32, one channel after another.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "math/storage.h"

namespace cineflow {

/// Floats from one channel to the next: whole cache lines, and an odd number of them, so that the
/// channels of a column are spread over the whole L1 cache.
inline std::int64_t channel_spacing(std::int64_t floats) noexcept {
  return ((floats + 15) / 16 | 1) * 16;
}

/// Copies `count` values to f32, as whole vectors where they are contiguous.
template <typename Source>
void copy_values(const Source* from, std::int64_t step, std::int64_t count, float* to) {
  constexpr std::int64_t kVector = 16;
  if (std::is_same_v<Source, float> && step == 1 && count >= kVector) {
    for (std::int64_t index = 0; index + kVector <= count; index += kVector) {
      std::memcpy(to + index, from + index, kVector * sizeof(float));
    }
    std::memcpy(to + count - kVector, from + count - kVector, kVector * sizeof(float));
    return;
  }
  for (std::int64_t index = 0; index < count; ++index) to[index] = to_float(from[index * step]);
}

}  // namespace cineflow
