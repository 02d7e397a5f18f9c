// Samples every channel of a run that locate.cpp has located. Included once per type of result
// (sample_into_*.cpp), because compiling all of them at once would take minutes under sanitizers.
//
// Every path to a pixel sums its corners in the same order, by multiply-adds, so that the bits of a
// result depend on the pixel alone.
//
// A corner outside is read at the nearest pixel inside, with weight 0 (corners.h), which makes NaN
// of a pixel that is not finite. Where a run has a result that is infinite or NaN, such samples are
// written a second time, by math/bilinear.h, which does not read that corner.
#pragma once

#include "cpu/simd/located.h"
#include "cpu/simd/sample_channels_last.h"
#include "cpu/simd/sample_planes.h"
#include "cpu/simd/sample_transposed.h"
#include "math/dispatch.h"

namespace cineflow::CINEFLOW_ISA {

/// Samples every channel and returns whether a sample was infinite or NaN.
template <typename Source, typename Result>
bool sample_all(const SampleRun& run, const SampleBlocks& blocks) {
  const bool channels_last = run.channels > 1 && run.channel_stride == 1 &&
                             run.out_channel_stride == 1 && run.addend == nullptr;
  if (!channels_last && run.channels <= kFewChannels) {
    const ComputedWeights weights{blocks};
    return sample_planar_any_layout<Source, Result>(run, blocks, weights);
  }
  if (channels_last) return sample_channels_last<Source, Result>(run, blocks);
  const StoredWeights weights(blocks, run.count);
  if constexpr (kLanes > 4 && sizeof(Source) == 2 && std::is_same_v<Source, Result>) {
    if (may_transpose(run)) {
      bool non_finite = false;
      const std::int64_t done = sample_transposed<Source>(run, blocks, weights, non_finite);
      if (done == run.channels) return non_finite;
      SampleRun rest = run;
      rest.channels -= done;
      rest.src = static_cast<const Source*>(run.src) + done * run.channel_stride;
      rest.out = static_cast<Result*>(run.out) + done * run.out_channel_stride;
      return sample_planar_any_layout<Source, Result>(rest, blocks, weights) || non_finite;
    }
  }
  return sample_planar_any_layout<Source, Result>(run, blocks, weights);
}

/// Writes again, by sample_by_rule, the samples that have a corner outside and that read a pixel
/// which is infinite or NaN.
template <typename Source, typename Result>
__attribute__((noinline)) void sample_non_finite_again(const SampleRun& run,
                                                       const SampleBlocks& blocks) {
  const Steps steps(run);
  for (int index = 0; index < run.count; ++index) {
    if (!has_corner_outside(blocks, index)) continue;
    const std::int64_t top = *top_offsets_at(blocks, index);
    const std::int64_t bottom = run.wraps ? *bottom_offsets_at(blocks, index) : top + steps.down;
    const std::int64_t corners[] = {top, top + steps.right, bottom, bottom + steps.right};
    for (std::int64_t channel = 0; channel < run.channels; ++channel) {
      const auto* plane = static_cast<const Source*>(run.src) + channel * run.channel_stride;
      float marks = 0.0f;  // NaN as soon as a corner is not finite
      for (const std::int64_t corner : corners) {
        marks += to_float(plane[corner]) * 0.0f;
      }
      if (marks == 0.0f) continue;
      const float bias =
          run.addend == nullptr
              ? run.bias
              : run.addend[channel * run.addend_channel_stride + index * run.addend_stride];
      const float value = multiply_add(run.scale, sample_by_rule(run, blocks, plane, index), bias);
      static_cast<Result*>(run.out)[channel * run.out_channel_stride + index * run.out_stride] =
          from_float<Result>(value);
    }
  }
}

/// A source without pixels: every sample is 0.
template <typename Result>
void sample_empty(const SampleRun& run) {
  for (std::int64_t channel = 0; channel < run.channels; ++channel) {
    auto* out = static_cast<Result*>(run.out) + channel * run.out_channel_stride;
    const float* addend = run.addend + channel * run.addend_channel_stride;
    for (int at = 0; at < run.count; ++at) {
      const float bias = run.addend == nullptr ? run.bias : addend[at * run.addend_stride];
      out[at * run.out_stride] = from_float<Result>(bias);
    }
  }
}

/// What sample_located() does where results are of type Result.
template <typename Result>
void sample_into(const SampleRun& run, const SampleBlocks& blocks) {
  if (run.height == 0 || run.width == 0) return sample_empty<Result>(run);
  with_storage(run.src_dtype, [&](auto source) {
    using Source = typename decltype(source)::type;
    if (!sample_all<Source, Result>(run, blocks)) return;
    if constexpr (sizeof(Source) > 1) sample_non_finite_again<Source, Result>(run, blocks);
  });
}

}  // namespace cineflow::CINEFLOW_ISA
