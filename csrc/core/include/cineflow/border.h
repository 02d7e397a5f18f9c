#pragma once

#include <cstdint>

namespace cineflow {

/// What a sample reads outside the source.
enum class Border : std::uint8_t {
  kZeros,  // each corner outside counts 0
  kClamp,  // the coordinate is moved to the nearest edge
};

}  // namespace cineflow
