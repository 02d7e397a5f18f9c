#pragma once

#include <cstdint>

namespace cineflow {

/// What a sample outside the source reads.
enum class Border : std::uint8_t {
  kZeros,  // each outside corner counts 0
  kClamp,  // the coordinate is moved to the nearest edge
};

}  // namespace cineflow
