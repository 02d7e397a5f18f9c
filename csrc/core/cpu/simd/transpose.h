// Transposes blocks of 16 x 16 values of 16 bits.
#pragma once

#include "cpu/simd/vec.h"

namespace cineflow::CINEFLOW_ISA {

#if defined(__AVX2__)
/// Eight columns of 16 rows become eight rows. Strides are in elements.
CINEFLOW_HD void transpose_16x8(const std::uint16_t* from, std::int64_t from_stride,
                                std::uint16_t* to, std::int64_t to_stride) {
  __m256i rows[8];  // rows i and i + 8
#pragma GCC unroll 8
  for (int row = 0; row < 8; ++row) {
    const auto* low = reinterpret_cast<const __m128i*>(from + row * from_stride);
    const auto* high = reinterpret_cast<const __m128i*>(from + (row + 8) * from_stride);
    rows[row] = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(low)),
                                        _mm_loadu_si128(high), 1);
  }
  __m256i pairs[8];  // of rows: columns 0 to 3 of rows 0 and 1, columns 4 to 7 of them, ...
#pragma GCC unroll 4
  for (int pair = 0; pair < 4; ++pair) {
    pairs[2 * pair] = _mm256_unpacklo_epi16(rows[2 * pair], rows[2 * pair + 1]);
    pairs[2 * pair + 1] = _mm256_unpackhi_epi16(rows[2 * pair], rows[2 * pair + 1]);
  }
  __m256i fours[8];  // columns 0 and 1 of rows 0 to 3, columns 2 and 3 of them, ...
#pragma GCC unroll 2
  for (int four = 0; four < 2; ++four) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m256i first = pairs[4 * four + half];
      const __m256i second = pairs[4 * four + half + 2];
      fours[4 * four + 2 * half] = _mm256_unpacklo_epi32(first, second);
      fours[4 * four + 2 * half + 1] = _mm256_unpackhi_epi32(first, second);
    }
  }
#pragma GCC unroll 4
  for (int column = 0; column < 4; ++column) {
    auto* even = reinterpret_cast<__m256i*>(to + 2 * column * to_stride);
    auto* odd = reinterpret_cast<__m256i*>(to + (2 * column + 1) * to_stride);
    _mm256_storeu_si256(even, _mm256_unpacklo_epi64(fours[column], fours[column + 4]));
    _mm256_storeu_si256(odd, _mm256_unpackhi_epi64(fours[column], fours[column + 4]));
  }
}

/// to[j * to_stride + i] = from[i * from_stride + j] for i and j in [0, 16).
CINEFLOW_HD void transpose_16x16(const std::uint16_t* from, std::int64_t from_stride,
                                 std::uint16_t* to, std::int64_t to_stride) {
  transpose_16x8(from, from_stride, to, to_stride);
  transpose_16x8(from + 8, from_stride, to + 8 * to_stride, to_stride);
}
#else
CINEFLOW_HD void transpose_16x16(const std::uint16_t* from, std::int64_t from_stride,
                                 std::uint16_t* to, std::int64_t to_stride) {
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 16; ++column) {
      to[column * to_stride + row] = from[row * from_stride + column];
    }
  }
}
#endif

}  // namespace cineflow::CINEFLOW_ISA
