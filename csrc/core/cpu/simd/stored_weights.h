// The weights of a run, computed once for many channels.
#pragma once

#include "cpu/simd/located.h"

namespace cineflow::CINEFLOW_ISA {

/// The weights of the four corners of each sample.
struct alignas(64) StoredWeights {
  float top_left[kScratchSamples];
  float top_right[kScratchSamples];
  float bottom_left[kScratchSamples];
  float bottom_right[kScratchSamples];

  StoredWeights(const SampleBlocks& blocks, int count) {
    const ComputedWeights computed{blocks};
    for (int start = 0; start < count; start += kLanes) {
      const CornerWeights weights = computed.at(start);
      store(top_left + start, weights.top_left);
      store(top_right + start, weights.top_right);
      store(bottom_left + start, weights.bottom_left);
      store(bottom_right + start, weights.bottom_right);
    }
  }

  CINEFLOW_HD CornerWeights at(int start) const {
    return {load(top_left + start), load(top_right + start), load(bottom_left + start),
            load(bottom_right + start)};
  }

  CINEFLOW_HD CornerWeights inside_at(const SampleBlock& /*here*/, int /*within*/,
                                      int start) const {
    return at(start);
  }
};

}  // namespace cineflow::CINEFLOW_ISA
