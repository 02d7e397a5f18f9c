// The rule for the number of levels of a pyramid.
#pragma once

#include "check/rules.h"
#include "cineflow/correlation_pyramid.h"

namespace cineflow {

/// Each level of maps with these sides has at least one pixel, and sides are exact in f32.
inline Rules& levels_fit(Rules& rules, int levels, std::int64_t height,
                         std::int64_t width) noexcept {
  if (height >= kSideLimit || width >= kSideLimit) return rules;  // `plane` refuses it
  char name[80];
  std::snprintf(name, sizeof(name), "levels of maps with %lld x %lld pixels",
                static_cast<long long>(height), static_cast<long long>(width));
  return rules.range(name, levels, 1, most_levels(height, width));
}

}  // namespace cineflow
