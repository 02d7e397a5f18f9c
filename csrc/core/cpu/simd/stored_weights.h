// The weights of many samples, computed once for many channels.
#pragma once

#include "cpu/simd/located.h"

namespace cineflow::CINEFLOW_ISA {

/// The weights of the four corners of up to kSamples samples.
template <int kSamples>
struct alignas(64) WeightArrays {
  float top_left[kSamples];
  float top_right[kSamples];
  float bottom_left[kSamples];
  float bottom_right[kSamples];

  /// Of the samples [first, last), where `first` begins a vector.
  CINEFLOW_HD void compute(const SampleBlocks& blocks, int first, int last) {
    const ComputedWeights computed{blocks};
    for (int start = 0; first + start < last; start += kLanes) {
      const CornerWeights weights = computed.at(first + start);
      store(top_left + start, weights.top_left);
      store(top_right + start, weights.top_right);
      store(bottom_left + start, weights.bottom_left);
      store(bottom_right + start, weights.bottom_right);
    }
  }

  /// Of sample `index`, each in every lane.
  CINEFLOW_HD CornerWeights splat_at(int index) const {
    return {splat(top_left[index]), splat(top_right[index]), splat(bottom_left[index]),
            splat(bottom_right[index])};
  }
};

/// Of the samples of one block. They stay in the L1 cache next to the pixels, which the weights of
/// a whole run would push out of it.
using BlockWeights = WeightArrays<kBlockSamples>;

/// Of a run.
struct StoredWeights : WeightArrays<kScratchSamples> {
  StoredWeights(const SampleBlocks& blocks, int count) { compute(blocks, 0, count); }

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
