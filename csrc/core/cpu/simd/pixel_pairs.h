// Loads pixels and their right neighbours at scattered offsets of one or two rows.
//
// Problem: sampling is bound by the number of loads, and the gather instructions are slower than
// one load per element.
//
// Solution: a pixel and its right neighbour, adjacent in memory, are one unit: 64 bits in f32, 32
// in half precision, 16 in u8. One load fetches a unit, and one offset serves both rows.
//
// Usage:
//   PixelPairs rows[2];
//   load_pairs({upper_row, lower_row}, offsets, rows);
#pragma once

#include "cpu/simd/vec.h"

namespace cineflow::CINEFLOW_ISA {

/// kLanes pixels and their right neighbours.
struct PixelPairs {
  F32s left, right;
};

/// Two consecutive offsets.
struct OffsetPair {
  CINEFLOW_HD explicit OffsetPair(const std::int32_t* offsets)
      : first(offsets[0]), second(offsets[1]) {}
  std::int64_t first, second;
};

constexpr int kQuarters = kLanes / 4;

#if defined(__SSE2__)
using Quarter = __m128i;

/// Makes the compiler compute `units` at this point. GCC would otherwise delay the loads, one row
/// after the other, until there are more offsets than registers.
CINEFLOW_HD Quarter computed_here(Quarter units) {
  asm("" : "+x"(units));
  return units;
}

/// Two 64-bit units.
CINEFLOW_HD Quarter units64(const float* row, const OffsetPair& at) {
  // Pixels are aligned to 4 bytes, which `_mm_loadl_epi64` accepts and `_mm_load_sd` does not.
  const __m128i first = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + at.first));
  const __m128d both =
      _mm_loadh_pd(_mm_castsi128_pd(first), reinterpret_cast<const double*>(row + at.second));
  return computed_here(_mm_castpd_si128(both));
}

/// Four 32-bit units.
template <typename Source>
CINEFLOW_HD Quarter units32(const Source* row, const OffsetPair& low, const OffsetPair& high) {
  const auto unit = [row](std::int64_t at) { return load_bits<std::int32_t>(row + at); };
  return computed_here(
      _mm_set_epi32(unit(high.second), unit(high.first), unit(low.second), unit(low.first)));
}

CINEFLOW_HD F32s joined(const Quarter* quarters) {
#if defined(__AVX512F__)
  const __m256i low = _mm256_set_m128i(quarters[1], quarters[0]);
  const __m256i high = _mm256_set_m128i(quarters[3], quarters[2]);
  return (F32s)_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
#elif defined(__AVX2__)
  return (F32s)_mm256_set_m128i(quarters[1], quarters[0]);
#else
  return (F32s)quarters[0];
#endif
}

/// Left and right pixels of units in the order 0 1 4 5 ... and 2 3 6 7 ... A shuffle within
/// quarters, which is the cheapest kind, sorts them.
CINEFLOW_HD PixelPairs split(F32s first, F32s second) {
#if defined(__AVX512F__)
  return {_mm512_shuffle_ps(first, second, 0x88), _mm512_shuffle_ps(first, second, 0xdd)};
#elif defined(__AVX2__)
  return {_mm256_shuffle_ps(first, second, 0x88), _mm256_shuffle_ps(first, second, 0xdd)};
#else
  return {_mm_shuffle_ps(first, second, 0x88), _mm_shuffle_ps(first, second, 0xdd)};
#endif
}

#if defined(__AVX512F__)
/// Four 64-bit units, merged while they are loaded, so that no shuffle is needed.
CINEFLOW_HD __m256i units64(const float* row, const OffsetPair& low, const OffsetPair& high) {
  const auto unit = [row](std::int64_t at) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + at));
  };
  __m256i units = _mm256_castsi128_si256(unit(low.first));
  units = _mm256_mask_broadcastq_epi64(units, 0b0010, unit(low.second));
  units = _mm256_mask_broadcastq_epi64(units, 0b0100, unit(high.first));
  units = _mm256_mask_broadcastq_epi64(units, 0b1000, unit(high.second));
  asm("" : "+v"(units));  // as in computed_here
  return units;
}

/// Pixels at `offsets` (in elements) in each row, and their right neighbours.
template <int kRows>
CINEFLOW_HD void load_pairs(const float* const (&rows)[kRows], const std::int32_t* offsets,
                            PixelPairs (&pairs)[kRows]) {
  __m256i units[kRows][2][2];
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 2
    for (int side = 0; side < 2; ++side) {
      const OffsetPair low(offsets + 8 * half + 2 * side);
      const OffsetPair high(offsets + 8 * half + 2 * side + 4);
#pragma GCC unroll 2
      for (int row = 0; row < kRows; ++row) units[row][side][half] = units64(rows[row], low, high);
    }
  }
  const auto joined = [](const __m256i* halves) __attribute__((always_inline)) {
    return (F32s)_mm512_inserti64x4(_mm512_castsi256_si512(halves[0]), halves[1], 1);
  };
#pragma GCC unroll 2
  for (int row = 0; row < kRows; ++row) {
    pairs[row] = split(joined(units[row][0]), joined(units[row][1]));
  }
}
#else
/// Pixels at `offsets` (in elements) in each row, and their right neighbours.
template <int kRows>
CINEFLOW_HD void load_pairs(const float* const (&rows)[kRows], const std::int32_t* offsets,
                            PixelPairs (&pairs)[kRows]) {
  Quarter units[kRows][2][kQuarters];
#pragma GCC unroll 4
  for (int quarter = 0; quarter < kQuarters; ++quarter) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const OffsetPair at(offsets + 4 * quarter + 2 * half);
#pragma GCC unroll 2
      for (int row = 0; row < kRows; ++row) units[row][half][quarter] = units64(rows[row], at);
    }
  }
#pragma GCC unroll 2
  for (int row = 0; row < kRows; ++row) {
    pairs[row] = split(joined(units[row][0]), joined(units[row][1]));
  }
}
#endif

CINEFLOW_HD PixelPairs pixels_from(const BFloat16*, const Quarter* quarters) {
  const U32s units = (U32s)joined(quarters);
  return {(F32s)(units << 16), (F32s)(units & 0xffff0000u)};
}

CINEFLOW_HD PixelPairs pixels_from(const Half*, const Quarter* quarters) {
#if defined(__AVX2__) && defined(__F16C__) && !defined(__AVX512F__)
  // Units become pairs of floats before they are sorted: two conversions in place of eight steps.
  const __m256 low = _mm256_cvtph_ps(quarters[0]);
  const __m256 high = _mm256_cvtph_ps(quarters[1]);
  const PixelPairs pairs = split(low, high);  // samples 0 1 4 5 2 3 6 7
  const auto sorted = [](F32s values) __attribute__((always_inline)) {
    return (F32s)_mm256_permute4x64_pd((__m256d)values, 0xd8);
  };
  return {sorted(pairs.left), sorted(pairs.right)};
#else
  const U32s units = (U32s)joined(quarters);
  return {half_to_floats(__builtin_convertvector(units, U16s)),
          half_to_floats(__builtin_convertvector(units >> 16, U16s))};
#endif
}

/// The same for 16-bit pixels.
template <int kRows, typename Source>
CINEFLOW_HD void load_pairs(const Source* const (&rows)[kRows], const std::int32_t* offsets,
                            PixelPairs (&pairs)[kRows]) {
  static_assert(sizeof(Source) == 2);
  Quarter units[kRows][kQuarters];
#pragma GCC unroll 4
  for (int quarter = 0; quarter < kQuarters; ++quarter) {
    const OffsetPair low(offsets + 4 * quarter);
    const OffsetPair high(offsets + 4 * quarter + 2);
#pragma GCC unroll 2
    for (int row = 0; row < kRows; ++row) units[row][quarter] = units32(rows[row], low, high);
  }
#pragma GCC unroll 2
  for (int row = 0; row < kRows; ++row) {
    pairs[row] = pixels_from(rows[row], units[row]);
  }
}

#else
/// Pixels at `offsets` (in elements) in each row, and their right neighbours.
template <int kRows, typename Source>
CINEFLOW_HD void load_pairs(const Source* const (&rows)[kRows], const std::int32_t* offsets,
                            PixelPairs (&pairs)[kRows]) {
  for (int row = 0; row < kRows; ++row) {
    for (int lane = 0; lane < kLanes; ++lane) {
      pairs[row].left[lane] = to_float(rows[row][offsets[lane]]);
      pairs[row].right[lane] = to_float(rows[row][offsets[lane] + 1]);
    }
  }
}
#endif

/// The same for u8 pixels.
template <int kRows>
CINEFLOW_HD void load_pairs(const std::uint8_t* const (&rows)[kRows], const std::int32_t* offsets,
                            PixelPairs (&pairs)[kRows]) {
  U16s units[kRows];
#pragma GCC unroll 8
  for (int lane = 0; lane < kLanes; lane += 2) {
    const OffsetPair at(offsets + lane);
#pragma GCC unroll 2
    for (int row = 0; row < kRows; ++row) {
      units[row][lane] = load_bits<std::uint16_t>(rows[row] + at.first);
      units[row][lane + 1] = load_bits<std::uint16_t>(rows[row] + at.second);
    }
  }
#pragma GCC unroll 2
  for (int row = 0; row < kRows; ++row) {
    const I32s wide = __builtin_convertvector(units[row], I32s);
    pairs[row] = {Vectors::real(wide & 0xff), Vectors::real(wide >> 8)};
  }
}

/// The same for one row whose neighbouring pixels are `step` elements apart.
template <typename Source>
CINEFLOW_HD PixelPairs load_strided_pairs(const Source* row, const std::int32_t* offsets,
                                          std::int64_t step) {
  Source left[kLanes];
  Source right[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    left[lane] = row[offsets[lane]];
    right[lane] = row[offsets[lane] + step];
  }
  return {load(left), load(right)};
}

}  // namespace cineflow::CINEFLOW_ISA
