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

/// The channels of one sample. `kOneStep`: as many as one step takes, so that no loop is left and
/// every pointer stays in a register. A pointer on the stack is a store, which waits behind those
/// of the results.
template <bool kScaled, bool kMarks, bool kOneStep, typename Source, typename Result>
CINEFLOW_HD void sample_channels(SamplePixels<Source> at, const CornerWeights& weights,
                                 const Finish& finish, std::int64_t channels, Result* out,
                                 F32s (&marks)[kVectors]) {
  if constexpr (kOneStep) {
    return sample_vectors<kVectors, kScaled, kMarks>(at, weights, finish, out, marks);
  }
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
template <bool kScaled, bool kOneStep, typename Source, typename Result>
__attribute__((noinline)) bool sample_adjacent_channels(const SampleRun& given,
                                                        const SampleBlocks& given_blocks) {
  const SampleRun run = given;  // copies: the compiler then knows that no store changes them
  const SampleBlocks blocks = given_blocks;
  const auto* src = static_cast<const Source*>(run.src);
  const Steps steps(run);
  const Finish finish{splat(run.scale), splat(run.bias)};
  auto* out = static_cast<Result*>(run.out);
  F32s marks[kVectors] = {};
  BlockWeights weights;
  for (int start = 0; start < run.count; start += kBlockSamples) {
    const SampleBlock& here = blocks.samples[start / kBlockSamples];
    const int end = run.count - start < kBlockSamples ? run.count : start + kBlockSamples;
    weights.compute(blocks, start, end);
    const auto sample = [&](auto marked, int within, const Source* bottom)
                            __attribute__((always_inline)) {
                              const Source* top = src + here.top_offset[within];
                              sample_channels<kScaled, decltype(marked)::value, kOneStep, Source>(
                                  {top, bottom == nullptr ? top + steps.down : bottom, steps.right},
                                  weights.splat_at(within), finish, run.channels, out, marks);
                              out += run.out_stride;
                            };
    if (blocks.outside[start / kBlockSamples] == 0) {
      // A value that is not finite is right here, because every corner counts.
      for (int within = 0; within < end - start; ++within) {
        sample(std::false_type{}, within, nullptr);
      }
    } else if (!run.wraps) {
      for (int within = 0; within < end - start; ++within) {
        sample(std::true_type{}, within, nullptr);
      }
    } else {
      for (int within = 0; within < end - start; ++within) {
        const bool listed = outside_at(blocks, (start + within) / kLanes * kLanes) != 0;
        sample(std::true_type{}, within,
               listed ? src + *bottom_offsets_at(blocks, start + within) : nullptr);
      }
    }
  }
  return has_mark(marks);
}

template <typename Source, typename Result>
bool sample_channels_last(const SampleRun& run, const SampleBlocks& blocks) {
  if (run.scale != 1.0f) return sample_adjacent_channels<true, false, Source, Result>(run, blocks);
  return run.channels == kVectors * kLanes
             ? sample_adjacent_channels<false, true, Source, Result>(run, blocks)
             : sample_adjacent_channels<false, false, Source, Result>(run, blocks);
}

}  // namespace cineflow::CINEFLOW_ISA
