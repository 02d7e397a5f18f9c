// The same samples of several planes.
#pragma once

#include <cstdint>

namespace cineflow {

/// Samples `planes` planes at `corners`, and writes `finish(sample)` for each. A store might
/// overwrite the source, as far as the compiler knows, so the loads of kAtOnce planes come before
/// their stores. The rest of the planes is taken by halves of that.
template <int kAtOnce, typename Source, typename Result, typename Corners, typename Finish>
__device__ void sample_planes(const Source* from, std::int64_t from_step, Result* to,
                              std::int64_t to_step, int planes, const Corners& corners,
                              const Finish& finish) {
  for (; planes >= kAtOnce; planes -= kAtOnce) {
    float values[kAtOnce];
#pragma unroll
    for (int index = 0; index < kAtOnce; ++index) {
      values[index] = sample_corners(from, corners);
      from += from_step;
    }
#pragma unroll
    for (int index = 0; index < kAtOnce; ++index) {
      *to = finish(values[index]);
      to += to_step;
    }
  }
  if constexpr (kAtOnce > 1) {
    sample_planes<kAtOnce / 2>(from, from_step, to, to_step, planes, corners, finish);
  }
}

}  // namespace cineflow
