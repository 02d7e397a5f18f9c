// Samples with vectors along the channels, which are adjacent in the source and in the result.
#pragma once

#include "cpu/simd/located.h"
#include "cpu/simd/stored_weights.h"

namespace cineflow::CINEFLOW_ISA {

/// scale * value + bias. Without a scale, one addition: the same bits, on more ports.
struct Finish {
  F32s scale, bias;

  template <bool kScaled>
  CINEFLOW_HD F32s of(F32s value) const {
    return kScaled ? multiply_add(scale, value, bias) : value + bias;
  }
};

/// The four pixels of one sample: their first channels. Right neighbours are `right` elements away.
template <typename Source>
struct SamplePixels {
  const Source* top;
  const Source* bottom;
  std::int64_t right;
};

/// The weights of sample `index`, each in every lane.
CINEFLOW_HD CornerWeights splat_weights(const StoredWeights& stored, int index) {
  return {splat(stored.top_left[index]), splat(stored.top_right[index]),
          splat(stored.bottom_left[index]), splat(stored.bottom_right[index])};
}

/// Vectors of channels in one step: addresses are then constants from four pointers.
constexpr int kVectors = kLanes == 16 ? 2 : 4;

/// Samples kCount vectors of channels of one sample. `kMarks`: infinite and NaN values are
/// collected in `marks`.
template <int kCount, bool kScaled, bool kMarks, typename Source, typename Result>
CINEFLOW_HD void sample_vectors(const SamplePixels<Source>& at, const CornerWeights& weights,
                                const Finish& finish, Result* out, F32s (&marks)[kVectors]) {
  const Source* const top_right = at.top + at.right;
  const Source* const bottom_right = at.bottom + at.right;
#pragma GCC unroll 4
  for (int vector = 0; vector < kCount; ++vector) {
    const int channel = vector * kLanes;
    const PixelPairs rows[2] = {{load(at.top + channel), load(top_right + channel)},
                                {load(at.bottom + channel), load(bottom_right + channel)}};
    const F32s value = weighted_sum(rows, weights);
    if constexpr (kMarks && sizeof(Source) > 1) {
      marks[vector] = mark_non_finite(marks[vector], value);
    }
    store(out + channel, finish.of<kScaled>(value));
  }
}

CINEFLOW_HD bool has_mark(const F32s (&marks)[kVectors]) {
  F32s all = marks[0];
#pragma GCC unroll 4
  for (int vector = 1; vector < kVectors; ++vector) all += marks[vector];
  return lanes_of(all != all) != 0;
}

/// The channels of one sample.
template <bool kScaled, bool kMarks, typename Source, typename Result>
CINEFLOW_HD void sample_channels(SamplePixels<Source> at, const CornerWeights& weights,
                                 const Finish& finish, std::int64_t channels, Result* out,
                                 F32s (&marks)[kVectors]) {
  const auto move_on = [&](int count) __attribute__((always_inline)) {
    at.top += count, at.bottom += count, out += count, channels -= count;
  };
  for (; channels >= kVectors * kLanes; move_on(kVectors * kLanes)) {
    sample_vectors<kVectors, kScaled, kMarks>(at, weights, finish, out, marks);
  }
  for (; channels >= kLanes; move_on(kLanes)) {
    sample_vectors<1, kScaled, kMarks>(at, weights, finish, out, marks);
  }
  if (channels == 0) return;
  const auto left = static_cast<int>(channels);
  const PixelPairs rows[2] = {
      {load_first(at.top, left), load_first(at.top + at.right, left)},
      {load_first(at.bottom, left), load_first(at.bottom + at.right, left)}};
  const F32s value = weighted_sum(rows, weights);
  if constexpr (kMarks && sizeof(Source) > 1) marks[0] = mark_non_finite(marks[0], value);
  store_first(out, finish.of<kScaled>(value), left);
}

/// Returns whether a sample of a block that has a corner outside was infinite or NaN.
template <bool kScaled, typename Source, typename Result>
__attribute__((noinline)) bool sample_channels_last(const SampleRun& given,
                                                    const SampleBlocks& given_blocks,
                                                    const StoredWeights& stored) {
  const SampleRun run = given;  // copies: the compiler then knows that no store changes them
  const SampleBlocks blocks = given_blocks;
  const auto* src = static_cast<const Source*>(run.src);
  const Steps steps(run);
  const Finish finish{splat(run.scale), splat(run.bias)};
  auto* out = static_cast<Result*>(run.out);
  F32s marks[kVectors] = {};
  for (int start = 0; start < run.count; start += kBlockSamples) {
    const SampleBlock& here = blocks.samples[start / kBlockSamples];
    const int end = run.count - start < kBlockSamples ? run.count : start + kBlockSamples;
    if (blocks.outside[start / kBlockSamples] == 0) {
      // A value that is not finite is right here, because every corner counts.
      for (int index = start; index < end; ++index, out += run.out_stride) {
        const Source* top = src + here.top_offset[index - start];
        sample_channels<kScaled, false, Source>({top, top + steps.down, steps.right},
                                                splat_weights(stored, index), finish, run.channels,
                                                out, marks);
      }
      continue;
    }
    for (int index = start; index < end; ++index, out += run.out_stride) {
      const Source* top = src + here.top_offset[index - start];
      const bool may_wrap = run.wraps && outside_at(blocks, index / kLanes * kLanes) != 0;
      const Source* bottom = may_wrap ? src + *bottom_offsets_at(blocks, index) : top + steps.down;
      sample_channels<kScaled, true, Source>({top, bottom, steps.right},
                                             splat_weights(stored, index), finish, run.channels,
                                             out, marks);
    }
  }
  return has_mark(marks);
}

}  // namespace cineflow::CINEFLOW_ISA
