// The register block of the correlation: 3 rows of f1 by 9 (AVX-512) or 3 shifts of f2.
//
// Each loaded vector of f2 serves three rows, and each vector of f1 serves all shifts of the block.
// That makes 27 multiply-adds for 12 loads: arithmetic is the limit, not the cache. A tile is read
// for several blocks, so its channels are taken in parts that fit into the L1 cache; between the
// parts the sums wait in the output.
#include "cpu/simd/half_vectors.h"
#include "cpu/simd/kernels.h"
#include "cpu/simd/vec.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kShifts = 9;  // with 3 rows, as many as the registers hold
#endif

/// Most channels of a part. Each has a cache line of three rows of f1, and two of f2: 20 KB.
constexpr std::int64_t kPartChannels = 64;

struct Channels {
  std::int64_t first, last;
};

/// Neighbours `kShift` columns to the right of the first vector, cut out of two aligned vectors. An
/// unaligned AVX-512 load nearly always crosses a cache line, which costs as much as two loads. A
/// cut needs a port of the multiply-adds, which are 27 for each channel; so two of the eight are
/// loads all the same, and the ports of both are about equally busy.
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
  const int count = tile.columns - column;
  const auto each_sum = [&](const auto& body) __attribute__((always_inline)) {
#pragma GCC unroll 3
    for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 9
      for (int shift = 0; shift < kCount; ++shift) {
        body(tile.out[row] + (first_shift + shift) * tile.out_stride + column, sums[row][shift]);
      }
    }
  };
  if (part.first > 0) {
    if (count >= kLanes) {
      each_sum([](const float* at, F32s& sum) __attribute__((always_inline)) { sum = load(at); });
    } else {
      each_sum([count](const float* at, F32s& sum)
                   __attribute__((always_inline)) { sum = load_first(at, count); });
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
      add(3, load(f2 + 3));
      add(4, shifted<4>(low, high));
      add(5, shifted<5>(low, high));
      add(6, load(f2 + 6));
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
  if (count >= kLanes) {
    each_sum([scale](float* at, F32s& sum)
                 __attribute__((always_inline)) { store(at, sum * scale); });
  } else {
    each_sum([scale, count](float* at, F32s& sum)
                 __attribute__((always_inline)) { store_first(at, sum * scale, count); });
  }
}

#if defined(__AVX2__)
// The last columns of a tile, where they fill at most half a vector. With a step of one column, one
// multiply-add serves two shifts: see half_vectors.h.

/// The first shifts of such vectors: eight shifts in pairs, and one alone.
constexpr int kPairs[] = {0, 1, 2, 3, 8};
constexpr int kPairedShifts = 9;

/// The sums of pairs [kFirst, kFirst + kCount) of kPairs.
template <int kRows, int kFirst, int kCount>
void block_of_pairs(const CorrelationTile& tile, Channels part, int column) {
  const HalfVectors halves(tile.columns - column);
  F32s sums[kRows][kCount] = {};
  const auto each_sum = [&](const auto& body) __attribute__((always_inline)) {
#pragma GCC unroll 3
    for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 5
      for (int pair = 0; pair < kCount; ++pair) {
        const int shift = kPairs[kFirst + pair];
        float* lower = tile.out[row] + column + shift * tile.out_stride;
        const bool alone = shift + kUpperShift >= kPairedShifts;
        body(sums[row][pair], lower, alone ? nullptr : lower + kUpperShift * tile.out_stride);
      }
    }
  };
  if (part.first > 0) {
    each_sum([&](F32s& sum, const float* lower, const float* upper) __attribute__((always_inline)) {
      sum = upper != nullptr ? halves.load_both(lower, upper) : halves.load_lower(lower);
    });
  }
  const float* f1[kRows];
  for (int row = 0; row < kRows; ++row) f1[row] = tile.f1[row] + column;
  const float* f2 = tile.f2 + column + part.first * tile.f2_stride;
  for (std::int64_t channel = part.first; channel < part.last; ++channel) {
    F32s first[kRows];
#pragma GCC unroll 3
    for (int row = 0; row < kRows; ++row) first[row] = load_twice(f1[row] + channel * kTileColumns);
    const ShiftedHalves second(f2);
#pragma GCC unroll 5
    for (int pair = 0; pair < kCount; ++pair) {
      const F32s shifted = second.at(kPairs[kFirst + pair]);
#pragma GCC unroll 3
      for (int row = 0; row < kRows; ++row) sums[row][pair] += first[row] * shifted;
    }
    f2 += tile.f2_stride;
  }
  const float scale = part.last == tile.channels ? tile.scale : 1.0f;
  each_sum([&](const F32s& sum, float* lower, float* upper) __attribute__((always_inline)) {
    halves.store_lower(lower, sum * scale);
    if (upper != nullptr) halves.store_upper(upper, sum * scale);
  });
}

/// The first kPairedShifts shifts of the last columns.
template <int kRows>
void blocks_of_pairs(const CorrelationTile& tile, Channels part, int column) {
#if !defined(__AVX512F__)
  if constexpr (kRows == 3) {  // more sums than there are registers
    block_of_pairs<kRows, 0, 3>(tile, part, column);
    block_of_pairs<kRows, 3, 2>(tile, part, column);
    return;
  }
#endif
  block_of_pairs<kRows, 0, 5>(tile, part, column);
}
#endif

#if defined(__AVX512F__)
/// All shifts of one vector of columns.
template <int kRows>
void column_of_blocks(const CorrelationTile& tile, Channels part, int column) {
  int shift = 0;
  if (tile.step == 1 && tile.shifts >= kShifts) {
    if (tile.columns - column <= kHalfLanes) {
      blocks_of_pairs<kRows>(tile, part, column);
    } else {
      block<kRows, kShifts, true>(tile, part, 0, column);
    }
    shift = kShifts;
  }
  for (; shift + kShifts <= tile.shifts; shift += kShifts) {
    block<kRows, kShifts, false>(tile, part, shift, column);
  }
  for (; shift + 3 <= tile.shifts; shift += 3) block<kRows, 3, false>(tile, part, shift, column);
  for (; shift < tile.shifts; ++shift) block<kRows, 1, false>(tile, part, shift, column);
}
#else
/// All shifts of one vector of columns. Fewer rows take more shifts at once: about 9 sums hide the
/// latency of a multiply-add.
template <int kRows>
void column_of_blocks(const CorrelationTile& tile, Channels part, int column) {
  constexpr int kCount = kRows == 3 ? 3 : kRows == 2 ? 5 : 9;
  int shift = 0;
#if defined(__AVX2__)
  if (tile.columns - column <= kHalfLanes && tile.step == 1 && tile.shifts >= kPairedShifts) {
    blocks_of_pairs<kRows>(tile, part, column);
    shift = kPairedShifts;
  }
#endif
  for (; shift + kCount <= tile.shifts; shift += kCount) {
    block<kRows, kCount, false>(tile, part, shift, column);
  }
  if constexpr (kRows < 3) {
    for (; shift + 4 <= tile.shifts; shift += 4) block<kRows, 4, false>(tile, part, shift, column);
  }
  for (; shift + 3 <= tile.shifts; shift += 3) block<kRows, 3, false>(tile, part, shift, column);
  for (; shift < tile.shifts; ++shift) block<kRows, 1, false>(tile, part, shift, column);
}
#endif

void all_blocks(const CorrelationTile& tile, Channels part) {
  for (int column = 0; column < tile.columns; column += kLanes) {
    switch (tile.rows) {
      case 1:
        column_of_blocks<1>(tile, part, column);
        break;
      case 2:
        column_of_blocks<2>(tile, part, column);
        break;
      default:
        column_of_blocks<3>(tile, part, column);
    }
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
