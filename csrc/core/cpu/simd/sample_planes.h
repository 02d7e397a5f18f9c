// Samples channels whose pixels lie in planes of their own, with vectors along the samples.
#pragma once

#include <type_traits>

#include "cpu/simd/located.h"
#include "cpu/simd/stored_weights.h"

namespace cineflow::CINEFLOW_ISA {

/// How a loop holds weights: ComputedWeights as a copy, since the compiler then knows that no store
/// changes it. StoredWeights is too large to copy.
template <typename Weights>
using Held = std::conditional_t<std::is_same_v<Weights, StoredWeights>, const Weights&, Weights>;

/// Up to this number of channels take ComputedWeights: one image, or the two components of a flow.
constexpr std::int64_t kFewChannels = 2;

/// Channels that are sampled together: their source, their results in contiguous memory, and their
/// addends, which are contiguous, or null for run.bias.
template <int kPlanes, typename Source, typename Result>
struct Planes {
  const Source* src[kPlanes];
  const float* addend[kPlanes];
  Result* result[kPlanes];
};

/// Samples channels together and returns whether a sample was infinite or NaN. `next` is the plane
/// to prefetch, or null.
template <Layout kLayout, int kPlanes, typename Source, typename Result, typename Weights>
__attribute__((noinline)) bool sample_planes(const SampleRun& run, const SampleBlocks& given,
                                             const Weights& given_weights, const Source* next,
                                             const Planes<kPlanes, Source, Result>& given_planes) {
  const SampleBlocks blocks = given;  // copies: the compiler then knows that no store changes them
  const Held<Weights> weights = given_weights;
  Planes<kPlanes, Source, Result> planes = given_planes;
  const Steps steps(run);
  const bool wraps = run.wraps;
  const F32s scale = splat(run.scale);
  const int count = run.count;
  // A bias is an addend that stays where it is.
  float biases[kBlockSamples];
  for (int within = 0; within < kBlockSamples; within += kLanes) {
    store(biases + within, splat(run.bias));
  }
  const int add_step = planes.addend[0] != nullptr ? kBlockSamples : 0;
#pragma GCC unroll 2
  for (int plane = 0; plane < kPlanes; ++plane) {
    if (planes.addend[plane] == nullptr) planes.addend[plane] = biases;
  }
  F32s non_finite{};
  const auto value_at = [&](const Source* src, int start) __attribute__((always_inline)) {
    PixelPairs rows[2];
    load_corners<kLayout>(blocks, src, steps, wraps, start, rows);
    const F32s value = weighted_sum(rows, weights.at(start));
    if constexpr (sizeof(Source) > 1) non_finite = mark_non_finite(non_finite, value);
    return value;
  };
  // Pointers that move on by a block: GCC computes indices again for each vector.
  const SampleBlock* here = blocks.samples;
  int start = 0;
  for (; start + kBlockSamples <= count; start += kBlockSamples, ++here) {
    if (next != nullptr) {  // a vector mostly reads one row: its first and last lines are enough
#pragma GCC unroll 4
      for (int within = 0; within < kBlockSamples; within += kLanes) {
        __builtin_prefetch(next + here->top_offset[within]);
        __builtin_prefetch(next + here->top_offset[within + kLanes - 1]);
      }
    }
    if (__builtin_expect(blocks.outside[start / kBlockSamples] == 0, 1)) {
      // A value that is not finite is right here, because every corner counts.
#pragma GCC unroll 4
      for (int within = 0; within < kBlockSamples; within += kLanes) {
        const CornerWeights corners = weights.inside_at(*here, within, start + within);
#pragma GCC unroll 2
        for (int plane = 0; plane < kPlanes; ++plane) {
          PixelPairs rows[2];
          load_corners_inside<kLayout>(here->top_offset + within, planes.src[plane], steps, rows);
          store(planes.result[plane] + start + within,
                multiply_add(scale, weighted_sum(rows, corners),
                             load(planes.addend[plane] + within)));
        }
      }
    } else {
      for (int within = 0; within < kBlockSamples; within += kLanes) {
#pragma GCC unroll 2
        for (int plane = 0; plane < kPlanes; ++plane) {
          const F32s value = value_at(planes.src[plane], start + within);
          store(planes.result[plane] + start + within,
                multiply_add(scale, value, load(planes.addend[plane] + within)));
        }
      }
    }
#pragma GCC unroll 2
    for (int plane = 0; plane < kPlanes; ++plane) planes.addend[plane] += add_step;
  }
  for (int within = 0; start < count; start += kLanes, within += kLanes) {
    const int left = count - start;
#pragma GCC unroll 2
    for (int plane = 0; plane < kPlanes; ++plane) {
      const float* add = planes.addend[plane] + within;
      Result* const to = planes.result[plane] + start;
      const F32s value = value_at(planes.src[plane], start);
      const F32s sum =
          multiply_add(scale, value, left >= kLanes ? load(add) : load_first(add, left));
      left >= kLanes ? store(to, sum) : store_first(to, sum, left);
    }
  }
  return lanes_of(non_finite != non_finite) != 0;
}

/// Images larger than this, in bytes, are not in the L2 cache when they are sampled.
constexpr std::int64_t kLargeImage = std::int64_t{2} << 20;

/// Samples every channel, one after another. A run reads few lines of a channel, too few for the
/// processor to predict the next channel's: in a large image they are prefetched. Returns whether a
/// sample was infinite or NaN.
template <Layout kLayout, typename Source, typename Result, typename Weights>
bool sample_planar(const SampleRun& run, const SampleBlocks& blocks, const Weights& weights) {
  Result results[kScratchSamples];
  float addends[kScratchSamples];
  const bool direct = run.out_stride == 1;
  bool non_finite = false;
  const bool large = run.channels * run.channel_stride > kLargeImage / std::int64_t{sizeof(Source)};
  for (std::int64_t channel = 0; channel < run.channels; ++channel) {
    const auto* plane = static_cast<const Source*>(run.src) + channel * run.channel_stride;
    auto* out = static_cast<Result*>(run.out) + channel * run.out_channel_stride;
    const float* addend = nullptr;
    if (run.addend != nullptr) {
      addend = run.addend + channel * run.addend_channel_stride;
      if (run.addend_stride != 1) {
        for (int at = 0; at < run.count; ++at) addends[at] = addend[at * run.addend_stride];
        addend = addends;
      }
    }
    const bool prefetch = large && channel + 1 < run.channels;
    const Source* next = prefetch ? plane + run.channel_stride : nullptr;
    Result* result = direct ? out : results;
    non_finite |= sample_planes<kLayout, 1, Source, Result>(run, blocks, weights, next,
                                                            {{plane}, {addend}, {result}});
    if (!direct) {
      for (int at = 0; at < run.count; ++at) out[at * run.out_stride] = results[at];
    }
  }
  return non_finite;
}

/// The two components of a flow: their weights are computed once.
inline bool sample_flow(const SampleRun& run, const SampleBlocks& blocks,
                        const ComputedWeights& weights) {
  const auto* src = static_cast<const float*>(run.src);
  auto* out = static_cast<float*>(run.out);
  const float* second = run.addend != nullptr ? run.addend + run.addend_channel_stride : nullptr;
  return sample_planes<Layout::kAdjacent, 2, float, float>(
      run, blocks, weights, nullptr,
      {{src, src + run.channel_stride}, {run.addend, second}, {out, out + run.out_channel_stride}});
}

/// Whether a run of f32 is one that sample_flow() takes.
inline bool is_flow(const SampleRun& run) {
  return run.channels == 2 && run.out_stride == 1 &&
         (run.addend == nullptr || run.addend_stride == 1);
}

/// Periodic rows come with channels last, or in panels. Others are rare and take the slower layout.
template <typename Source, typename Result, typename Weights>
bool sample_planar_any_layout(const SampleRun& run, const SampleBlocks& blocks,
                              const Weights& weights) {
  const bool adjacent = run.column_stride == 1 && run.width > 1 && run.height > 1 && !run.wraps;
  if constexpr (std::is_same_v<Weights, ComputedWeights> && std::is_same_v<Source, float> &&
                std::is_same_v<Result, float>) {
    if (adjacent && is_flow(run)) return sample_flow(run, blocks, weights);
  }
  return adjacent ? sample_planar<Layout::kAdjacent, Source, Result>(run, blocks, weights)
                  : sample_planar<Layout::kStrided, Source, Result>(run, blocks, weights);
}

}  // namespace cineflow::CINEFLOW_ISA
