// The pooling and the dot products of RAFT's correlation.
#include <algorithm>

#include "cpu/simd/kernels.h"
#include "cpu/simd/vec.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

#if defined(__AVX2__)
/// Sums of neighbours in 2 kLanes elements, in the order 0 1 4 5 ... 2 3 6 7 ...: a shuffle within
/// quarters is the cheapest kind.
CINEFLOW_HD F32s neighbour_sums(const float* from) {
  const F32s first = load(from);
  const F32s second = load(from + kLanes);
#if defined(__AVX512F__)
  return _mm512_shuffle_ps(first, second, 0x88) + _mm512_shuffle_ps(first, second, 0xdd);
#else
  return _mm256_shuffle_ps(first, second, 0x88) + _mm256_shuffle_ps(first, second, 0xdd);
#endif
}

/// Vectors in the order of neighbour_sums, sorted.
CINEFLOW_HD F32s sorted(F32s mixed) {
#if defined(__AVX512F__)
  const __m512i order = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);
  return (F32s)_mm512_permutexvar_epi64(order, _mm512_castps_si512(mixed));
#else
  return (F32s)_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xd8);
#endif
}
#endif

#if defined(__SSE2__)
/// Sums of neighbours in 8 elements.
CINEFLOW_HD __m128 four_neighbour_sums(const float* from) {
  const __m128 first = _mm_loadu_ps(from);
  const __m128 second = _mm_loadu_ps(from + 4);
  return _mm_add_ps(_mm_shuffle_ps(first, second, 0x88), _mm_shuffle_ps(first, second, 0xdd));
}
#endif

CINEFLOW_HD float sum_of(F32s values) {
#if defined(__AVX2__)
#if defined(__AVX512F__)
  // Through memory: GCC 12 warns about the intrinsics that cut a vector of 16 lanes.
  float lanes[kLanes];
  store(lanes, values);
  const __m256 half = load_bits<__m256>(lanes) + load_bits<__m256>(lanes + 8);
#else
  const __m256 half = values;
#endif
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_shuffle_ps(sum, sum, 1)));
#else
  float sum = 0.0f;
  for (int lane = 0; lane < kLanes; ++lane) sum += values[lane];
  return sum;
#endif
}

constexpr int kMostDots = 10;  // RAFT's window has 10 columns

template <int kCount>
void dots_of(const DotRow& row, int first) {
  F32s sums[kCount] = {};
  const float* f2 = row.f2 + first * row.channels;
  for (std::int64_t channel = 0; channel < row.channels; channel += kLanes) {
    const F32s one = load(row.f1 + channel);
#pragma GCC unroll 10
    for (int dot = 0; dot < kCount; ++dot) {
      sums[dot] += one * load(f2 + dot * row.channels + channel);
    }
  }
#pragma GCC unroll 10
  for (int dot = 0; dot < kCount; ++dot) row.out[first + dot] = row.scale * sum_of(sums[dot]);
}

template <int kCount = kMostDots>
void rest_of(const DotRow& row, int first) {
  if constexpr (kCount > 0) {
    if (row.count - first == kCount) {
      dots_of<kCount>(row, first);
    } else {
      rest_of<kCount - 1>(row, first);
    }
  }
}

}  // namespace

void pool_plane(const float* from, std::int64_t height, std::int64_t width, float* to) noexcept {
  const std::int64_t columns = width / 2;
  for (std::int64_t y = 0; y < height / 2; ++y, to += columns) {
    const float* upper = from + 2 * y * width;
    const float* lower = upper + width;
    std::int64_t x = 0;
    // The last step of each width is done again over some that are done.
#if defined(__AVX2__)
    const auto means = [&](std::int64_t at) __attribute__((always_inline)) {
      const F32s sums = neighbour_sums(upper + 2 * at) + neighbour_sums(lower + 2 * at);
      store(to + at, 0.25f * sorted(sums));
    };
    for (; x + kLanes <= columns; x += kLanes) means(x);
    if (x < columns && columns >= kLanes) {
      means(columns - kLanes);
      x = columns;
    }
#endif
#if defined(__SSE2__)
    const auto four_means = [&](std::int64_t at) __attribute__((always_inline)) {
      const __m128 sums =
          _mm_add_ps(four_neighbour_sums(upper + 2 * at), four_neighbour_sums(lower + 2 * at));
      _mm_storeu_ps(to + at, _mm_mul_ps(_mm_set1_ps(0.25f), sums));
    };
    for (; x + 4 <= columns; x += 4) four_means(x);
    if (x < columns && columns >= 4) {
      four_means(columns - 4);
      x = columns;
    }
#endif
    for (; x < columns; ++x) {
      to[x] = 0.25f * ((upper[2 * x] + upper[2 * x + 1]) + (lower[2 * x] + lower[2 * x + 1]));
    }
  }
}

void dot_row(const DotRow& row) noexcept {
  int dot = 0;
  for (; dot + kMostDots <= row.count; dot += kMostDots) dots_of<kMostDots>(row, dot);
  rest_of(row, dot);
}

}  // namespace cineflow::CINEFLOW_ISA
