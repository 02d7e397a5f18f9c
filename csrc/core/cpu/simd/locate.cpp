// Locates the samples of a run, once for all channels.
#include "cpu/simd/corners.h"
#include "cpu/simd/kernels.h"
#include "cpu/simd/pixel_cursor.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

/// Whether none of the 16 samples of a block has a pixel next to it.
CINEFLOW_HD bool reads_nothing(const SampleRun& run, const float* x, const float* y) {
  const std::int32_t rows = run.wraps ? run.height + 1 : run.height;
  I32s near{};
  for (int within = 0; within < kBlockSamples; within += kLanes) {
    near |= has_neighbours<Vectors>(load(x + within), run.width) &
            has_neighbours<Vectors>(load(y + within), rows);
  }
  return lanes_of(near) == 0;
}

/// Consecutive blocks of the run are `step` blocks apart. `kPanel`: as PanelRun says.
template <bool kOnGrid, bool kDenseColumns, bool kPanel>
void locate_run(const SampleRun& given, const SamplePositions& positions,
                const SampleBlocks& blocks, int step) {
  const SampleRun run = given;  // a copy: the compiler then knows that no store changes it
  SampleBlock* const samples = blocks.samples;
  EdgeBlock* const edges = blocks.edges;
  std::uint32_t* const outside = blocks.outside;
  PixelCursor cursor(kOnGrid ? positions : SamplePositions{nullptr, nullptr, 1});
  const F32s last_column = splat(static_cast<float>(run.width - 1));
  const F32s last_row = splat(static_cast<float>(run.height - 1));
  const auto row_stride = static_cast<std::int32_t>(run.row_stride);
  const auto column_stride = static_cast<std::int32_t>(run.column_stride);
  // Returns the samples with a corner outside.
  const auto locate_at = [&](int block, int within, F32s x, F32s y) __attribute__((always_inline)) {
    if constexpr (kOnGrid) cursor.add_pixels(x, y);
    SampleBlock& here = samples[block];
    const Lanes outside_lanes =
        ~(lanes_below(x, last_column) & lanes_below(y, last_row)) & kAllLanes;
    if (__builtin_expect(outside_lanes != 0, 0)) {
      store(here.x + within, x);
      store(here.y + within, y);
      if constexpr (kPanel) return outside_lanes << within;
      const VectorCorners corners = corners_at(run, x, y);
      store(here.top_offset + within, corners.top_offset);
      store(edges[block].bottom_offset + within, corners.bottom_offset);
      store(edges[block].top_left + within, corners.weights.top_left);
      store(edges[block].top_right + within, corners.weights.top_right);
      store(edges[block].bottom_left + within, corners.weights.bottom_left);
      store(edges[block].bottom_right + within, corners.weights.bottom_right);
      return outside_lanes << within;
    }
    const I32s left = Vectors::truncate(x);
    const I32s above = Vectors::truncate(y);
    store(here.top_offset + within,
          above * row_stride + (kDenseColumns ? left : left * column_stride));
    store(here.x + within, x - Vectors::real(left));
    store(here.y + within, y - Vectors::real(above));
    return Lanes{0};
  };
  const float* const xs = positions.x;
  const float* const ys = positions.y;
  int start = 0;
  int block = 0;
  for (; start + kBlockSamples <= run.count; start += kBlockSamples, block += step) {
    if constexpr (kPanel) {
      if (run.border == Border::kZeros && reads_nothing(run, xs + start, ys + start)) {
        outside[block] = kNothing;
        continue;
      }
    }
    Lanes bits = 0;
#pragma GCC unroll 4
    for (int within = 0; within < kBlockSamples; within += kLanes) {
      bits |= locate_at(block, within, load(xs + start + within), load(ys + start + within));
    }
    outside[block] = bits;
  }
  if (start < run.count) {
    Lanes bits = 0;
    for (int within = 0; start + within < run.count; within += kLanes) {
      const int left = run.count - start - within;
      const bool whole = left >= kLanes;
      bits |= locate_at(block, within,
                        whole ? load(xs + start + within) : load_first(xs + start + within, left),
                        whole ? load(ys + start + within) : load_first(ys + start + within, left));
    }
    outside[block] = bits;
  }
}

}  // namespace

void locate_samples(const SampleRun& run, const SamplePositions& positions,
                    const SampleBlocks& blocks) noexcept {
  const bool dense_columns = run.column_stride == 1;
  if (positions.width > 0) {
    return dense_columns ? locate_run<true, true, false>(run, positions, blocks, 1)
                         : locate_run<true, false, false>(run, positions, blocks, 1);
  }
  return dense_columns ? locate_run<false, true, false>(run, positions, blocks, 1)
                       : locate_run<false, false, false>(run, positions, blocks, 1);
}

void locate_panel_row(const SampleRun& run, const SamplePositions& positions,
                      const SampleBlocks& blocks, int step) noexcept {
  return run.column_stride == 1 ? locate_run<false, true, true>(run, positions, blocks, step)
                                : locate_run<false, false, true>(run, positions, blocks, step);
}

}  // namespace cineflow::CINEFLOW_ISA
