// Locates the samples of a run, once for all channels.
#include "cpu/simd/locate.h"

#include "cpu/simd/kernels.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

template <bool kOnGrid, bool kDenseColumns>
void locate_run(const SampleRun& given, const SamplePositions& positions,
                const SampleBlocks& blocks) {
  const SampleRun run = given;  // a copy: the compiler then knows that no store changes it
  SampleBlock* const samples = blocks.samples;
  EdgeBlock* const edges = blocks.edges;
  std::uint32_t* const outside = blocks.outside;
  PixelCursor cursor(kOnGrid ? positions : SamplePositions{nullptr, nullptr, 1});
  const auto locate_at = [&](int start, F32s x, F32s y) __attribute__((always_inline)) {
    if constexpr (kOnGrid) cursor.add_pixels(x, y);
    const int block = start / kBlockSamples;
    const int within = start % kBlockSamples;
    LocatedSamples located = locate<kDenseColumns>(run, x, y);
    if (located.outside != 0) {
      const VectorCorners corners = corners_at(run, x, y);
      located.top_offset = corners.top_offset;
      store(edges[block].bottom_offset + within, corners.bottom_offset);
      store(edges[block].top_left + within, corners.weights.top_left);
      store(edges[block].top_right + within, corners.weights.top_right);
      store(edges[block].bottom_left + within, corners.weights.bottom_left);
      store(edges[block].bottom_right + within, corners.weights.bottom_right);
    }
    store(samples[block].top_offset + within, located.top_offset);
    store(samples[block].x + within, located.x);
    store(samples[block].y + within, located.y);
    outside[block] = (within == 0 ? 0u : outside[block]) | located.outside << within;
  };
  int start = 0;
  for (; start + kLanes <= run.count; start += kLanes) {
    locate_at(start, load(positions.x + start), load(positions.y + start));
  }
  if (const int left = run.count - start; left > 0) {
    locate_at(start, load_first(positions.x + start, left), load_first(positions.y + start, left));
  }
}

}  // namespace

void locate_samples(const SampleRun& run, const SamplePositions& positions,
                    const SampleBlocks& blocks) noexcept {
  const bool dense_columns = run.column_stride == 1;
  if (positions.width > 0) {
    return dense_columns ? locate_run<true, true>(run, positions, blocks)
                         : locate_run<true, false>(run, positions, blocks);
  }
  return dense_columns ? locate_run<false, true>(run, positions, blocks)
                       : locate_run<false, false>(run, positions, blocks);
}

}  // namespace cineflow::CINEFLOW_ISA
