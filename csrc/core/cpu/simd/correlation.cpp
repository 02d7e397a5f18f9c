// The register block of the correlation: up to 3 rows of f1 by 9 (AVX-512) or 3 shifts of f2.
//
// Each loaded vector of f2 serves three rows, and each vector of f1 serves all shifts of the block.
// That makes 27 multiply-adds for 12 loads: arithmetic is the limit, not the cache. A tile is read
// for several blocks, so its channels are taken in parts that fit into the L1 cache; between the
// parts the sums wait in the output.
#include "cpu/simd/kernels.h"
#include "cpu/simd/vec.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

constexpr int kShifts = kLanes == 16 ? 9 : 3;  // with 3 rows, as many as the registers hold

/// Most channels of a part. Each has a cache line of three rows of f1, and two of f2: 20 KB.
constexpr std::int64_t kPartChannels = 64;

struct Channels {
  std::int64_t first, last;
};

/// Neighbours `kShift` columns to the right of the first vector, cut out of two aligned vectors. An
/// unaligned AVX-512 load nearly always crosses a cache line, which costs as much as two loads.
#if defined(__AVX512F__)
template <int kShift>
CINEFLOW_HD F32s shifted(F32s first, F32s second) {
  return (F32s)_mm512_alignr_epi32((__m512i)second, (__m512i)first, kShift);
}
#endif

template <int kRows, int kCount, bool kCut>
void block(const CorrelationTile& tile, Channels part, int first_shift, int column) {
  F32s sums[kRows][kCount] = {};
  const float* f1[kRows];
  for (int row = 0; row < kRows; ++row) f1[row] = tile.f1[row] + column;
  const float* f2 = tile.f2 + column + first_shift * tile.step + part.first * tile.f2_stride;
  if (part.first > 0) {
#pragma GCC unroll 3
    for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 9
      for (int shift = 0; shift < kCount; ++shift) {
        sums[row][shift] = load(tile.out[row] + (first_shift + shift) * tile.out_stride + column);
      }
    }
  }
  for (std::int64_t channel = part.first; channel < part.last; ++channel) {
    F32s first[kRows];
#pragma GCC unroll 3
    for (int row = 0; row < kRows; ++row) first[row] = load(f1[row] + channel * kTileColumns);
#if defined(__AVX512F__)
    if constexpr (kCut) {
      static_assert(kCount == 9);
      const F32s low = load(f2);
      const F32s high = load(f2 + kLanes);
      const auto add = [&](int shift, F32s second) {
#pragma GCC unroll 3
        for (int row = 0; row < kRows; ++row) sums[row][shift] += first[row] * second;
      };
      add(0, low);
      add(1, shifted<1>(low, high));
      add(2, shifted<2>(low, high));
      add(3, shifted<3>(low, high));
      add(4, shifted<4>(low, high));
      add(5, shifted<5>(low, high));
      add(6, shifted<6>(low, high));
      add(7, shifted<7>(low, high));
      add(8, shifted<8>(low, high));
      f2 += tile.f2_stride;
      continue;
    }
#endif
#pragma GCC unroll 9
    for (int shift = 0; shift < kCount; ++shift) {
      const F32s second = load(f2 + shift * tile.step);
#pragma GCC unroll 3
      for (int row = 0; row < kRows; ++row) sums[row][shift] += first[row] * second;
    }
    f2 += tile.f2_stride;
  }
  const float scale = part.last == tile.channels ? tile.scale : 1.0f;
#pragma GCC unroll 3
  for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 9
    for (int shift = 0; shift < kCount; ++shift) {
      store(tile.out[row] + (first_shift + shift) * tile.out_stride + column,
            sums[row][shift] * scale);
    }
  }
}

template <int kCount, bool kCut = false>
void block_of(const CorrelationTile& tile, Channels part, int first_shift, int column) {
  switch (tile.rows) {
    case 1:
      return block<1, kCount, kCut>(tile, part, first_shift, column);
    case 2:
      return block<2, kCount, kCut>(tile, part, first_shift, column);
    default:
      return block<3, kCount, kCut>(tile, part, first_shift, column);
  }
}

void all_blocks(const CorrelationTile& tile, Channels part) {
  for (int column = 0; column < kTileColumns; column += kLanes) {
    int shift = 0;
    if constexpr (kLanes == 16) {
      if (tile.step == 1 && tile.shifts >= kShifts) {
        block_of<kShifts, true>(tile, part, 0, column);
        shift = kShifts;
      }
    }
    for (; shift + kShifts <= tile.shifts; shift += kShifts) {
      block_of<kShifts>(tile, part, shift, column);
    }
    for (; shift + 3 <= tile.shifts; shift += 3) block_of<3>(tile, part, shift, column);
    for (; shift < tile.shifts; ++shift) block_of<1>(tile, part, shift, column);
  }
}

}  // namespace

void correlate(const CorrelationTile& tile) noexcept {
  const std::int64_t parts = (tile.channels + kPartChannels - 1) / kPartChannels;
  if (parts <= 1) return all_blocks(tile, {0, tile.channels});
  for (std::int64_t part = 0; part < parts; ++part) {
    all_blocks(tile, {tile.channels * part / parts, tile.channels * (part + 1) / parts});
  }
}

}  // namespace cineflow::CINEFLOW_ISA
