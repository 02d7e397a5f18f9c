// The data of bilinear sampling: positions, located samples, and one run of work.
//
// Problem: every channel of an image is sampled at the same positions. Turning a position into
// pixel offsets and weights costs as much as sampling one or two channels.
//
// Solution: a run of up to kMaxRun samples is located once and stored in blocks of 16 samples,
// which every channel then reads. A SampleBlock holds the offset of each sample's upper left corner
// and the fractions from which its weights follow. Where a sample has a corner outside the image,
// an EdgeBlock holds its weights and lower offset in addition; other EdgeBlocks are never touched.
//
// Usage:
//   alignas(64) char scratch[sample_block_bytes(kScratchSamples)];
//   const SampleBlocks blocks = sample_blocks_in(scratch, kScratchSamples);
//   kernels().locate_samples(run, positions, blocks);
//   kernels().sample_located(run, blocks);
#pragma once

#include <cstdint>

#include "cineflow/border.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

/// Most samples of a run.
constexpr int kMaxRun = 1024;

/// Entries of a scratch array for a run. Kernels write whole vectors, which may end after the last
/// sample. Arrays of exactly 4096 bytes would also compete for the same lines of the L1 cache.
constexpr int kScratchSamples = kMaxRun + 16;

/// Where the samples of a run read, in pixels of the source. With `width` 0, sample i reads at
/// (x[i], y[i]). Otherwise x and y are displacements, and sample i belongs to a pixel of a grid:
/// the first to (column, row), and a grid row has `width` pixels.
struct SamplePositions {
  const float* x;  // [count]; read up to the last sample
  const float* y;
  std::int64_t width = 0;
  float column = 0.0f, row = 0.0f;
};

constexpr int kBlockSamples = 16;

/// 16 consecutive samples, shared by all channels.
struct alignas(64) SampleBlock {
  std::int32_t top_offset[kBlockSamples];  // of the upper left corner, in elements
  // Distance from that corner to the sample, in pixels. A vector in which a sample has a corner
  // outside holds the positions themselves instead.
  float x[kBlockSamples];
  float y[kBlockSamples];
};

/// The rest for vectors in which a sample has a corner outside. Such corners are moved to the
/// nearest pixel inside and get weight 0.
struct alignas(64) EdgeBlock {
  std::int32_t bottom_offset[kBlockSamples];  // of the lower left corner, in elements
  float top_left[kBlockSamples];              // weights of the four corners
  float top_right[kBlockSamples];
  float bottom_left[kBlockSamples];
  float bottom_right[kBlockSamples];
};

/// The blocks of consecutive samples: three arrays with one entry for each 16 samples.
struct SampleBlocks {
  SampleBlock* samples;
  EdgeBlock* edges;
  std::uint32_t* outside;  // bit i is set where sample i has a corner outside

  /// The blocks from sample `first` on, a multiple of kBlockSamples.
  SampleBlocks from(std::int64_t first) const noexcept {
    const std::int64_t block = first / kBlockSamples;
    return {samples + block, edges + block, outside + block};
  }
};

/// `outside` of a block of a panel whose samples read no pixel. The rest of the block is not
/// written. Where only some of its vectors read no pixel, it has bits above the 16 of the samples
/// (nothing_bit() in simd/located.h).
constexpr std::uint32_t kNothing = std::uint32_t{1} << 31;

/// Bytes of the blocks of `samples` samples, a multiple of kBlockSamples.
constexpr std::int64_t sample_block_bytes(std::int64_t samples) noexcept {
  constexpr std::int64_t kBytes = sizeof(SampleBlock) + sizeof(EdgeBlock) + sizeof(std::uint32_t);
  return samples / kBlockSamples * kBytes;
}

/// Blocks in sample_block_bytes(samples) bytes of memory aligned to 64 bytes.
inline SampleBlocks sample_blocks_in(void* memory, std::int64_t samples) noexcept {
  const std::int64_t count = samples / kBlockSamples;
  auto* blocks = static_cast<SampleBlock*>(memory);
  auto* edges = reinterpret_cast<EdgeBlock*>(blocks + count);
  return {blocks, edges, reinterpret_cast<std::uint32_t*>(edges + count)};
}

/// One run: up to kMaxRun samples of every channel,
/// out[c][i] = bias + scale * channel c at position i, bilinear.
///
/// The caller decides what counts as a channel. Frames that share their positions may be channels.
struct SampleRun {
  const void* src;  // channel 0 at (row 0, column 0)
  DType src_dtype;
  std::int32_t height, width;                              // of the source
  std::int64_t channel_stride, row_stride, column_stride;  // of the source, in elements
  std::int64_t channels;
  Border border;
  bool wraps;  // rows are periodic: row `height` is row 0 (the angles of a full circle)

  int count;  // of samples

  void* out;  // channel 0 of the first sample
  DType out_dtype;
  std::int64_t out_channel_stride, out_stride;  // in elements

  float scale = 1.0f;
  float bias = 0.0f;  // where `addend` is null; otherwise each sample has a bias of its own:
  const float* addend = nullptr;  // addend[c * addend_channel_stride + i * addend_stride]
  std::int64_t addend_channel_stride = 0;
  std::int64_t addend_stride = 0;
};

/// A rectangle of samples whose blocks lie column by column: the blocks of its first 16 columns,
/// one per row, then those of the next 16. Samples that are near each other in the source are then
/// read at about the same time, so that a line of the L1 cache is fetched once for all rows. Panels
/// have no EdgeBlocks: where a sample has a corner outside, its block holds positions alone, or the
/// offset of a pixel inside and distances to it (distances_bit() in simd/located.h).
struct PanelRun {
  SampleRun run;  // `count` is not used; `out` is the first sample of the first row
  int rows, columns;
  std::int64_t out_row_stride;  // in elements
};

/// The largest panel. Its samples fill a run.
constexpr int kPanelRows = 8;
constexpr int kPanelColumns = kMaxRun / kPanelRows;

}  // namespace cineflow
