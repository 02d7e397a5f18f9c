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

#if defined(__SSE2__)
/// Left and right pixels of units in the order 0 1 4 5 ... and 2 3 6 7 ... A shuffle within
/// quarters of 128 bits, which is the cheapest kind, sorts them.
CINEFLOW_HD PixelPairs split(F32s first, F32s second) {
#if defined(__AVX512F__)
  return {_mm512_shuffle_ps(first, second, 0x88), _mm512_shuffle_ps(first, second, 0xdd)};
#elif defined(__AVX2__)
  return {_mm256_shuffle_ps(first, second, 0x88), _mm256_shuffle_ps(first, second, 0xdd)};
#else
  return {_mm_shuffle_ps(first, second, 0x88), _mm_shuffle_ps(first, second, 0xdd)};
#endif
}

/// Makes the compiler compute `units` at this point. GCC would otherwise delay the loads, one row
/// after the other, until there are more offsets than registers.
template <typename Units>
CINEFLOW_HD Units computed_here(Units units) {
#if defined(__AVX512F__)
  asm("" : "+v"(units));
#else
  asm("" : "+x"(units));
#endif
  return units;
}

CINEFLOW_HD __m128i unit64(const float* at) {
  // Pixels are aligned to 4 bytes, which `_mm_loadl_epi64` accepts and `_mm_load_sd` does not.
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
}

// f32: units of 64 bits.

#if defined(__AVX2__)
/// Four units. Each is loaded into every lane and then merged, which runs on more ports than a
/// shuffle.
CINEFLOW_HD __m256i units64(const float* row, const OffsetPair& low, const OffsetPair& high) {
#if defined(__AVX512F__)
  __m256i units = _mm256_castsi128_si256(unit64(row + low.first));
  units = _mm256_mask_broadcastq_epi64(units, 0b0010, unit64(row + low.second));
  units = _mm256_mask_broadcastq_epi64(units, 0b0100, unit64(row + high.first));
  units = _mm256_mask_broadcastq_epi64(units, 0b1000, unit64(row + high.second));
  return computed_here(units);
#else
  const auto unit = [row](std::int64_t at) { return _mm256_broadcastq_epi64(unit64(row + at)); };
  const __m256i lower = _mm256_blend_epi32(unit(low.first), unit(low.second), 0b00001100);
  const __m256i upper = _mm256_blend_epi32(unit(high.first), unit(high.second), 0b11000000);
  return computed_here(_mm256_blend_epi32(lower, upper, 0b11110000));
#endif
}

CINEFLOW_HD F32s joined(const __m256i* halves) {
#if defined(__AVX512F__)
  return (F32s)_mm512_inserti64x4(_mm512_castsi256_si512(halves[0]), halves[1], 1);
#else
  return (F32s)halves[0];
#endif
}

/// Pixels at `offsets` (in elements) in each row, and their right neighbours.
template <int kRows>
CINEFLOW_HD void load_pairs(const float* const (&rows)[kRows], const std::int32_t* offsets,
                            PixelPairs (&pairs)[kRows]) {
  constexpr int kHalves = kLanes / 8;
  __m256i units[kRows][2][kHalves];
#pragma GCC unroll 2
  for (int half = 0; half < kHalves; ++half) {
#pragma GCC unroll 2
    for (int side = 0; side < 2; ++side) {
      const OffsetPair low(offsets + 8 * half + 2 * side);
      const OffsetPair high(offsets + 8 * half + 2 * side + 4);
#pragma GCC unroll 2
      for (int row = 0; row < kRows; ++row) units[row][side][half] = units64(rows[row], low, high);
    }
  }
#pragma GCC unroll 2
  for (int row = 0; row < kRows; ++row) {
    pairs[row] = split(joined(units[row][0]), joined(units[row][1]));
  }
}
#else
/// Two units.
CINEFLOW_HD F32s units64(const float* row, const OffsetPair& at) {
  const __m128d first = _mm_castsi128_pd(unit64(row + at.first));
  const auto* second = reinterpret_cast<const double*>(row + at.second);
  return computed_here((F32s)_mm_loadh_pd(first, second));
}

/// Pixels at `offsets` (in elements) in each row, and their right neighbours.
template <int kRows>
CINEFLOW_HD void load_pairs(const float* const (&rows)[kRows], const std::int32_t* offsets,
                            PixelPairs (&pairs)[kRows]) {
  F32s units[kRows][2];
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    const OffsetPair at(offsets + 2 * half);
#pragma GCC unroll 2
    for (int row = 0; row < kRows; ++row) units[row][half] = units64(rows[row], at);
  }
#pragma GCC unroll 2
  for (int row = 0; row < kRows; ++row) pairs[row] = split(units[row][0], units[row][1]);
}
#endif

// 16 bits: units of 32 bits.

#if defined(__AVX512F__)
constexpr int kPart = 8;  // units that are loaded together
using Units32 = __m256i;

template <typename Source>
CINEFLOW_HD Units32 units32(const Source* row, const OffsetPair (&at)[kPart / 2]) {
  const auto unit = [row](std::int64_t offset) {
    return _mm_cvtsi32_si128(load_bits<std::int32_t>(row + offset));
  };
  __m256i units = _mm256_castsi128_si256(unit(at[0].first));
  units = _mm256_mask_broadcastd_epi32(units, 0x02, unit(at[0].second));
  units = _mm256_mask_broadcastd_epi32(units, 0x04, unit(at[1].first));
  units = _mm256_mask_broadcastd_epi32(units, 0x08, unit(at[1].second));
  units = _mm256_mask_broadcastd_epi32(units, 0x10, unit(at[2].first));
  units = _mm256_mask_broadcastd_epi32(units, 0x20, unit(at[2].second));
  units = _mm256_mask_broadcastd_epi32(units, 0x40, unit(at[3].first));
  units = _mm256_mask_broadcastd_epi32(units, 0x80, unit(at[3].second));
  return computed_here(units);
}
#else
constexpr int kPart = 4;
using Units32 = __m128i;

template <typename Source>
CINEFLOW_HD Units32 units32(const Source* row, const OffsetPair (&at)[kPart / 2]) {
  const auto unit = [row](std::int64_t offset) { return load_bits<std::int32_t>(row + offset); };
  return computed_here(
      _mm_set_epi32(unit(at[1].second), unit(at[1].first), unit(at[0].second), unit(at[0].first)));
}

#if defined(__AVX2__)
CINEFLOW_HD F32s joined(const __m128i* parts) { return (F32s)_mm256_set_m128i(parts[1], parts[0]); }
#else
CINEFLOW_HD F32s joined(const __m128i* parts) { return (F32s)parts[0]; }
#endif
#endif

CINEFLOW_HD PixelPairs pixels_from(const BFloat16*, const Units32* parts) {
  const U32s units = (U32s)joined(parts);
  return {(F32s)(units << 16), (F32s)(units & 0xffff0000u)};
}

CINEFLOW_HD PixelPairs pixels_from(const Half*, const Units32* parts) {
#if defined(__AVX2__) && defined(__F16C__) && !defined(__AVX512F__)
  // Units become pairs of floats before they are sorted: two conversions in place of eight steps.
  const __m256 low = _mm256_cvtph_ps(parts[0]);
  const __m256 high = _mm256_cvtph_ps(parts[1]);
  const PixelPairs pairs = split(low, high);  // samples 0 1 4 5 2 3 6 7
  const auto sorted = [](F32s values) __attribute__((always_inline)) {
    return (F32s)_mm256_permute4x64_pd((__m256d)values, 0xd8);
  };
  return {sorted(pairs.left), sorted(pairs.right)};
#else
  const U32s units = (U32s)joined(parts);
  return {half_to_floats(__builtin_convertvector(units, U16s)),
          half_to_floats(__builtin_convertvector(units >> 16, U16s))};
#endif
}

/// The same for 16-bit pixels.
template <int kRows, typename Source>
CINEFLOW_HD void load_pairs(const Source* const (&rows)[kRows], const std::int32_t* offsets,
                            PixelPairs (&pairs)[kRows]) {
  static_assert(sizeof(Source) == 2);
  constexpr int kParts = kLanes / kPart;
  Units32 units[kRows][kParts];
#pragma GCC unroll 4
  for (int part = 0; part < kParts; ++part) {
    const std::int32_t* first = offsets + kPart * part;
#if defined(__AVX512F__)
    const OffsetPair at[] = {OffsetPair(first), OffsetPair(first + 2), OffsetPair(first + 4),
                             OffsetPair(first + 6)};
#else
    const OffsetPair at[] = {OffsetPair(first), OffsetPair(first + 2)};
#endif
#pragma GCC unroll 2
    for (int row = 0; row < kRows; ++row) units[row][part] = units32(rows[row], at);
  }
#pragma GCC unroll 2
  for (int row = 0; row < kRows; ++row) pairs[row] = pixels_from(rows[row], units[row]);
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
