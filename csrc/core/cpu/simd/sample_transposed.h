// Samples many planes of 16 bits with vectors along the channels.
//
// Problem: in half precision a pair load fetches 4 bytes, and merging and converting the pairs of a
// vector takes two shuffles per sample and channel.
//
// Solution: the part of the source that a run reads is transposed to channels last, 16 channels at
// a time. A sample then takes four loads for 16 channels, and 16 results are transposed back at
// once. A transposition takes a fifth of a shuffle per value.
//
// Only for runs that read a part of the source not much larger than themselves.
#pragma once

#include <cstring>
#include <type_traits>

#include "cpu/simd/located.h"
#include "cpu/simd/sample_channels_last.h"
#include "cpu/simd/stored_weights.h"
#include "cpu/simd/transpose.h"

namespace cineflow::CINEFLOW_ISA {

/// Channels that are transposed at once, and pixels.
constexpr int kTransposed = 16;

/// Most pixels of a span: 96 KB, and most per sample.
constexpr std::int64_t kMostSpan = 3072;
constexpr std::int64_t kMostSpanPerSample = 4;

/// Pixels [first, first + count) of a plane.
struct PixelSpan {
  std::int64_t first, count;
};

/// The pixels that the samples of a run read, for planes of adjacent rows.
inline PixelSpan span_of(const SampleRun& run, const SampleBlocks& blocks) {
  I32s low = load_bits<I32s>(top_offsets_at(blocks, 0));
  std::int32_t first = *top_offsets_at(blocks, 0);
  std::int32_t last = first;
  int start = 0;
  if (run.count >= kLanes) {
    I32s high = low;
    for (; start + kLanes <= run.count; start += kLanes) {
      const I32s offsets = load_bits<I32s>(top_offsets_at(blocks, start));
      low = offsets < low ? offsets : low;
      high = offsets > high ? offsets : high;
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      first = low[lane] < first ? low[lane] : first;
      last = high[lane] > last ? high[lane] : last;
    }
  }
  for (; start < run.count; ++start) {
    const std::int32_t offset = *top_offsets_at(blocks, start);
    first = offset < first ? offset : first;
    last = offset > last ? offset : last;
  }
  return {first, last + run.row_stride + 2 - first};
}

/// Whether a run is worth a transposition of the pixels in `span`.
inline bool is_compact(const SampleRun& run, const PixelSpan& span) {
  return span.count >= kTransposed && span.count <= kMostSpan &&
         span.count <= kMostSpanPerSample * run.count;
}

/// Whether a run of 16-bit pixels has the layout of sample_transposed().
inline bool may_transpose(const SampleRun& run) {
  return run.channels >= kTransposed && run.addend == nullptr && run.out_stride == 1 &&
         run.column_stride == 1 && run.row_stride == run.width && run.width > 1 && run.height > 1 &&
         !run.wraps;
}

/// Samples kTransposed channels. `pixels` is workspace: [kMostSpan][kTransposed]. Returns whether a
/// sample with a corner outside was infinite or NaN.
template <bool kScaled, typename Storage>
__attribute__((noinline)) bool sample_group(const SampleRun& run, const SampleBlocks& blocks,
                                            const StoredWeights& stored, const PixelSpan& span,
                                            const Storage* planes, Storage* out, Storage* pixels) {
  const auto bits = [](auto* values) { return reinterpret_cast<std::uint16_t*>(values); };
  const auto* from = reinterpret_cast<const std::uint16_t*>(planes + span.first);
  for (std::int64_t pixel = 0; pixel < span.count; pixel += kTransposed) {
    // The last block overlaps the one before.
    const std::int64_t at = pixel + kTransposed <= span.count ? pixel : span.count - kTransposed;
    transpose_16x16(from + at, run.channel_stride, bits(pixels + at * kTransposed), kTransposed);
  }
  const Finish finish{splat(run.scale), splat(run.bias)};
  const std::int64_t down = run.row_stride * kTransposed;
  const int count = run.count;
  const std::int64_t out_stride = run.out_channel_stride;
  constexpr int kCount = kTransposed / kLanes;
  F32s marks[kVectors] = {};
  alignas(64) Storage results[kBlockSamples * kTransposed];
  for (int start = 0; start < count; start += kBlockSamples) {
    const int left = count - start < kBlockSamples ? count - start : kBlockSamples;
    const SampleBlock& here = blocks.samples[start / kBlockSamples];
    const auto sample_block = [&](auto marked) __attribute__((always_inline)) {
      for (int within = 0; within < left; ++within) {
        const Storage* top = pixels + (here.top_offset[within] - span.first) * kTransposed;
        sample_vectors<kCount, kScaled, marked.value, Storage>(
            {top, top + down, kTransposed}, stored.splat_at(start + within), finish,
            results + within * kTransposed, marks);
      }
    };
    // A value that is not finite is right where every corner counts.
    if (blocks.outside[start / kBlockSamples] == 0) {
      sample_block(std::false_type{});
    } else {
      sample_block(std::true_type{});
    }
    if (left == kBlockSamples) {
      transpose_16x16(bits(results), kTransposed, bits(out + start), out_stride);
      continue;
    }
    Storage part[kTransposed][kBlockSamples];
    transpose_16x16(bits(results), kTransposed, bits(part[0]), kBlockSamples);
    for (int channel = 0; channel < kTransposed; ++channel) {
      std::memcpy(out + channel * out_stride + start, part[channel], left * sizeof(Storage));
    }
  }
  return has_mark(marks);
}

/// Samples the channels in groups of kTransposed, up to a rest, and returns how many are done.
/// `non_finite` becomes true where a sample with a corner outside was infinite or NaN.
template <typename Storage>
std::int64_t sample_transposed(const SampleRun& run, const SampleBlocks& blocks,
                               const StoredWeights& stored, bool& non_finite) {
  static_assert(sizeof(Storage) == sizeof(std::uint16_t));
  const PixelSpan span = span_of(run, blocks);
  if (!is_compact(run, span)) return 0;
  alignas(64) Storage pixels[kMostSpan * kTransposed];
  std::int64_t channel = 0;
  for (; channel + kTransposed <= run.channels; channel += kTransposed) {
    const auto* planes = static_cast<const Storage*>(run.src) + channel * run.channel_stride;
    auto* out = static_cast<Storage*>(run.out) + channel * run.out_channel_stride;
    non_finite |= run.scale == 1.0f
                      ? sample_group<false, Storage>(run, blocks, stored, span, planes, out, pixels)
                      : sample_group<true, Storage>(run, blocks, stored, span, planes, out, pixels);
  }
  return channel;
}

}  // namespace cineflow::CINEFLOW_ISA
