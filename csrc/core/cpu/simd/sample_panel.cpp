// Samples the panels of the polar ops and of scan conversion (PanelRun).
//
// A sample gets the same bits here as in sample_located.cpp: the same weights, and the same order
// of the sum.
#include "cpu/simd/kernels.h"
#include "cpu/simd/located.h"
#include "math/dispatch.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

/// One vector of a block in which a sample has a corner outside, or that has fewer than 16 samples.
/// Corners are found again from the positions: reading an EdgeBlock from a large plan takes longer.
/// Where a result is infinite or NaN, samples with a corner outside follow sample_by_rule.
template <Layout kLayout, typename Source>
__attribute__((noinline)) F32s sample_edge(const SampleRun& run, const SampleBlocks& blocks,
                                           const Source* plane, const Steps& steps, int start) {
  const Lanes outside = outside_at(blocks, start);
  if (outside == 0) {
    PixelPairs rows[2];
    load_corners_inside<kLayout>(top_offsets_at(blocks, start), plane, steps, rows);
    return weighted_sum(rows, ComputedWeights{blocks}.at(start));
  }
  const SampleBlock& here = blocks.samples[start / kBlockSamples];
  const int within = start % kBlockSamples;
  const VectorCorners corners = corners_at(run, load(here.x + within), load(here.y + within));
  std::int32_t offsets[2][kLanes];
  store(offsets[0], corners.top_offset);
  store(offsets[1], corners.bottom_offset);
  PixelPairs rows[2];
  for (int row = 0; row < 2; ++row) {
    if constexpr (kLayout == Layout::kStrided) {
      rows[row] = load_strided_pairs(plane, offsets[row], steps.right);
    } else {
      PixelPairs pairs[1];
      load_pairs({plane}, offsets[row], pairs);
      rows[row] = pairs[0];
    }
  }
  F32s value = weighted_sum(rows, corners.weights);
  if constexpr (sizeof(Source) > 1) {
    const F32s marks = mark_non_finite(F32s{}, value);
    const Lanes again = outside & lanes_of(marks != marks);
    if (__builtin_expect(again != 0, 0)) {
      for (int lane = 0; lane < kLanes; ++lane) {
        if (again >> lane & 1u) value[lane] = sample_by_rule(run, blocks, plane, start + lane);
      }
    }
  }
  return value;
}

/// A block that is not whole, that is not contiguous in the output, or in which a sample has a
/// corner outside. `count`: samples of it that are in the output.
template <Layout kLayout, typename Source, typename Result>
__attribute__((noinline)) void sample_block(const SampleRun& run, const SampleBlocks& blocks,
                                            const Source* plane, const Steps& steps, int block,
                                            int count, Result* out) {
  const F32s scale = splat(run.scale);
  const F32s bias = splat(run.bias);
  const bool nothing = run.height == 0 || run.width == 0 || (blocks.outside[block] & kNothing) != 0;
  Result result[kBlockSamples];
  for (int within = 0; within < count; within += kLanes) {
    F32s value = bias;
    if (!nothing) {
      const int start = block * kBlockSamples + within;
      value = multiply_add(scale, sample_edge<kLayout>(run, blocks, plane, steps, start), bias);
    }
    store(result + within, value);
  }
  for (int at = 0; at < count; ++at) out[at * run.out_stride] = result[at];
}

template <Layout kLayout, typename Source, typename Result>
__attribute__((noinline)) void sample_channel(const PanelRun& panel, const SampleBlocks& blocks,
                                              const Source* plane, Result* out) {
  const SampleRun& run = panel.run;
  const std::int64_t row_stride = panel.out_row_stride;
  const int rows = panel.rows;
  const Steps steps(run);
  const F32s scale = splat(run.scale);
  const F32s bias = splat(run.bias);
  const bool direct = run.out_stride == 1 && run.height > 0 && run.width > 0;
  // Pointers that move on by a block: GCC computes indices again for each vector.
  const SampleBlock* here = blocks.samples;
  const std::uint32_t* outside = blocks.outside;
  for (int column = 0; column < panel.columns; column += kBlockSamples) {
    const int left = panel.columns - column;
    const bool whole = direct && left >= kBlockSamples;
    Result* to = out + column * run.out_stride;
    for (int row = 0; row < rows; ++row, ++here, ++outside, to += row_stride) {
      if (__builtin_expect(whole && *outside == 0, 1)) {
#pragma GCC unroll 4
        for (int within = 0; within < kBlockSamples; within += kLanes) {
          PixelPairs pixels[2];
          load_corners_inside<kLayout>(here->top_offset + within, plane, steps, pixels);
          const CornerWeights weights =
              weights_inside(load(here->x + within), load(here->y + within));
          store(to + within, multiply_add(scale, weighted_sum(pixels, weights), bias));
        }
      } else if (whole && (*outside & kNothing) != 0) {
        for (int within = 0; within < kBlockSamples; within += kLanes) store(to + within, bias);
      } else {
        sample_block<kLayout>(run, blocks, plane, steps, static_cast<int>(here - blocks.samples),
                              left < kBlockSamples ? left : kBlockSamples, to);
      }
    }
  }
}

template <typename Source, typename Result>
void sample_typed(const PanelRun& panel, const SampleBlocks& blocks) {
  const SampleRun& run = panel.run;
  with_layout(run, [&](auto layout) {
    for (std::int64_t channel = 0; channel < run.channels; ++channel) {
      sample_channel<decltype(layout)::value>(
          panel, blocks, static_cast<const Source*>(run.src) + channel * run.channel_stride,
          static_cast<Result*>(run.out) + channel * run.out_channel_stride);
    }
  });
}

}  // namespace

void sample_panel(const PanelRun& panel, const SampleBlocks& blocks) noexcept {
  with_float_storage(panel.run.out_dtype, [&](auto result) {
    with_storage(panel.run.src_dtype, [&](auto source) {
      sample_typed<typename decltype(source)::type, typename decltype(result)::type>(panel, blocks);
    });
  });
}

}  // namespace cineflow::CINEFLOW_ISA
