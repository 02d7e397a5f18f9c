// Locates the samples of a run, once for all channels.
#include "cpu/simd/corners.h"
#include "cpu/simd/kernels.h"
#include "cpu/simd/located.h"
#include "cpu/simd/pixel_cursor.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

/// Which samples have a corner outside.
class Inside {
 public:
  explicit Inside(const SampleRun& run)
      : last_left_(I32s{} + (run.width - 2)),
        last_above_(I32s{} + (run.height - 2)),
        thin_(I32s{} + (run.width < 2 || run.height < 2 ? -1 : 0)) {}

  /// The lanes with a corner outside, of samples at (x, y) in the pixels (left, above).
  CINEFLOW_HD Lanes missing(F32s x, I32s left, F32s y, I32s above) const {
#if defined(__AVX2__) && !defined(__AVX512F__)
    // Fewer steps than comparisons: sign bits show that a coordinate is negative, or that its pixel
    // lies beyond the last one, as INT32_MIN does, which stands for NaN and for what an integer
    // cannot hold. -0 counts as negative, which is right also, only slower.
    return lanes_of((I32s)x | (I32s)y | less(last_left_, left) | less(last_above_, above) | thin_);
#else
    (void)left, (void)above;
    return ~(lanes_below(x, Vectors::real(last_left_ + 1)) &
             lanes_below(y, Vectors::real(last_above_ + 1))) &
           kAllLanes;
#endif
  }

 private:
  /// a - b, which may wrap.
  static CINEFLOW_HD I32s less(I32s a, I32s b) { return (I32s)((U32s)a - (U32s)b); }

  I32s last_left_, last_above_;  // the last pixels that have a right and a lower neighbour
  [[maybe_unused]] I32s thin_;   // -1 where no pixel has both; for AVX2 only
};

/// The nothing_bit() of each vector of a block, kNothing where all have it.
CINEFLOW_HD std::uint32_t nothing_bits(const SampleRun& run, const float* x, const float* y) {
  const std::int32_t rows = run.wraps ? run.height + 1 : run.height;
  std::uint32_t bits = 0;
  bool none = true;
  for (int within = 0; within < kBlockSamples; within += kLanes) {
    const bool near = lanes_of(has_neighbours<Vectors>(load(x + within), run.width) &
                               has_neighbours<Vectors>(load(y + within), rows)) != 0;
    bits |= near ? 0 : nothing_bit(within);
    none = none && !near;
  }
  return none ? kNothing : bits;
}

/// Stores a vector as distances_bit() says, where no row is followed by the first one.
CINEFLOW_HD bool store_distances(const SampleRun& run, F32s x, F32s y, SampleBlock& here,
                                 int within) {
  const AxisPlace column = place_at<true>(x, run.width, run.border);
  const AxisPlace row = run.wraps ? place_at<true>(y, run.height + 1, Border::kZeros)
                                  : place_at<true>(y, run.height, run.border);
  if (run.wraps && lanes_of(row.low > run.height - 2) != 0) return false;
  store(here.top_offset + within, row.low * static_cast<std::int32_t>(run.row_stride) + column.low);
  store(here.x + within, column.distance);
  store(here.y + within, row.distance);
  return true;
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
  const Inside inside(run);
  const bool distances = kPanel && keeps_distances(run);
  const auto row_stride = static_cast<std::int32_t>(run.row_stride);
  const auto column_stride = static_cast<std::int32_t>(run.column_stride);
  // Returns the samples with a corner outside.
  const auto locate_at = [&](int block, int within, F32s x, F32s y) __attribute__((always_inline)) {
    SampleBlock& here = samples[block];
    const I32s left = Vectors::truncate(x);
    const I32s above = Vectors::truncate(y);
    const Lanes outside_lanes = inside.missing(x, left, y, above);
    if (__builtin_expect(outside_lanes != 0, 0)) {
      if constexpr (kPanel) {
        if (distances && store_distances(run, x, y, here, within)) {
          return outside_lanes << within | distances_bit(within);
        }
      }
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
    std::uint32_t bits = 0;
    if constexpr (kPanel) {
      if (run.border == Border::kZeros) bits = nothing_bits(run, xs + start, ys + start);
      if (bits == kNothing) {
        outside[block] = kNothing;
        continue;
      }
    }
    const bool in_one_row = kOnGrid && cursor.block_in_one_row();
#pragma GCC unroll 4
    for (int within = 0; within < kBlockSamples; within += kLanes) {
      F32s x = load(xs + start + within);
      F32s y = load(ys + start + within);
      if constexpr (kOnGrid) {
        in_one_row ? cursor.add_row_pixels(x, y) : cursor.add_pixels(x, y);
      }
      bits |= locate_at(block, within, x, y);
    }
    outside[block] = bits;
  }
  if (start < run.count) {
    Lanes bits = 0;
    for (int within = 0; start + within < run.count; within += kLanes) {
      const int left = run.count - start - within;
      const bool whole = left >= kLanes;
      F32s x = whole ? load(xs + start + within) : load_first(xs + start + within, left);
      F32s y = whole ? load(ys + start + within) : load_first(ys + start + within, left);
      if constexpr (kOnGrid) cursor.add_pixels(x, y);
      bits |= locate_at(block, within, x, y);
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
