// Samples the panels of the polar ops and of scan conversion (PanelRun).
//
// A sample gets the same bits here as in sample_located.cpp: the same weights, and the same order
// of the sum.
#include "cpu/simd/kernels.h"
#include "cpu/simd/located.h"
#include "math/dispatch.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

/// The corners of a vector in which a sample has one outside, all moved inside.
template <Layout kLayout, typename Source>
CINEFLOW_HD void load_corners_anywhere(const VectorCorners& corners, const Source* plane,
                                       const Steps& steps, PixelPairs (&rows)[2]) {
  std::int32_t top[kLanes];
  store(top, corners.top_offset);
  if constexpr (kLayout == Layout::kAdjacent) {
    load_pairs({plane, plane + steps.down}, top, rows);
  } else {
    std::int32_t bottom[kLanes];
    store(bottom, corners.bottom_offset);
    load_corner_rows<kLayout>(plane, top, bottom, steps, rows);
  }
}

struct Position {
  float x, y;  // pixels
};

/// The position of a sample of a block that holds positions, or distances. One that reads no pixel
/// is NaN.
Position position_of(const SampleRun& run, const SampleBlock& here, int at, bool distances) {
  if (!distances) return {here.x[at], here.y[at]};
  const auto stride = static_cast<std::int32_t>(run.row_stride);
  const auto behind = [](std::int32_t pixel, float distance) {
    return distance > -1.0f ? static_cast<float>(pixel) + distance : __builtin_nanf("");
  };
  return {behind(here.top_offset[at] % stride, here.x[at]),
          behind(here.top_offset[at] / stride, here.y[at])};
}

/// One vector of a block in which a sample has a corner outside, or that has fewer than 16 samples.
/// Corners are found from what the block holds: reading an EdgeBlock from a large plan takes
/// longer. Where a result is infinite or NaN, samples with a corner outside follow sample_by_rule.
template <Layout kLayout, typename Source>
CINEFLOW_HD F32s sample_edge(const SampleRun& run, const SampleBlocks& blocks, const Source* plane,
                             const Steps& steps, int start) {
  const Lanes outside = outside_at(blocks, start);
  const SampleBlock& here = blocks.samples[start / kBlockSamples];
  const int within = start % kBlockSamples;
  const F32s x = load(here.x + within);
  const F32s y = load(here.y + within);
  PixelPairs rows[2];
  if (outside == 0) {
    load_corners_inside<kLayout>(here.top_offset + within, plane, steps, rows);
    return weighted_sum(rows, weights_inside(x, y));
  }
  const bool distances = kLayout != Layout::kStrided &&
                         (blocks.outside[start / kBlockSamples] & distances_bit(within)) != 0;
  F32s value;
  if (__builtin_expect(distances, 1)) {
    load_corners_inside<kLayout>(here.top_offset + within, plane, steps, rows);
    const AxisWeights column = axis_weights(x);
    const AxisWeights row = axis_weights(y);
    value = weighted_sum(rows, {row.low * column.low, row.low * column.high, row.high * column.low,
                                row.high * column.high});
  } else {
    constexpr bool kPlain = kLayout == Layout::kAdjacent;
    const VectorCorners corners = corners_at<kPlain>(run, x, y);
    load_corners_anywhere<kLayout>(corners, plane, steps, rows);
    value = weighted_sum(rows, corners.weights);
  }
  if constexpr (sizeof(Source) > 1) {
    const F32s marks = mark_non_finite(F32s{}, value);
    const Lanes again = outside & lanes_of(marks != marks);
    if (__builtin_expect(again != 0, 0)) {
      for (int lane = 0; lane < kLanes; ++lane) {
        if ((again >> lane & 1u) == 0) continue;
        const Position at = position_of(run, here, within + lane, distances);
        value[lane] = sample_by_rule(run, plane, at.x, at.y);
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
  std::uint32_t outside = blocks.outside[block];
  if (run.height == 0 || run.width == 0) outside = kNothing;
  const bool direct = run.out_stride == 1 && count == kBlockSamples;
  Result result[kBlockSamples];
  Result* const to = direct ? out : result;
  for (int within = 0; within < count; within += kLanes) {
    F32s value = bias;
    if ((outside & (kNothing | nothing_bit(within))) == 0) {
      const int start = block * kBlockSamples + within;
      value = multiply_add(scale, sample_edge<kLayout>(run, blocks, plane, steps, start), bias);
    }
    store(to + within, value);
  }
  if (direct) return;
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
  with_storage(panel.run.out_dtype, [&](auto result) {
    with_storage(panel.run.src_dtype, [&](auto source) {
      sample_typed<typename decltype(source)::type, typename decltype(result)::type>(panel, blocks);
    });
  });
}

}  // namespace cineflow::CINEFLOW_ISA
