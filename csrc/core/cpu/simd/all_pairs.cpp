// The pooling and the dot products of RAFT's correlation.
#include <algorithm>

#include "cpu/simd/kernels.h"
#include "cpu/simd/vec.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

#if defined(__AVX2__)
/// The elements of even and of odd number.
CINEFLOW_HD void deinterleave(F32s first, F32s second, F32s* even, F32s* odd) {
#if defined(__AVX512F__)
  const __m512i order = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);
  const auto sorted = [order](__m512 mixed) {
    return (F32s)_mm512_permutexvar_epi64(order, _mm512_castps_si512(mixed));
  };
  *even = sorted(_mm512_shuffle_ps(first, second, 0x88));
  *odd = sorted(_mm512_shuffle_ps(first, second, 0xdd));
#else
  const auto sorted = [](__m256 mixed) {
    return (F32s)_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xd8);
  };
  *even = sorted(_mm256_shuffle_ps(first, second, 0x88));
  *odd = sorted(_mm256_shuffle_ps(first, second, 0xdd));
#endif
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
#if defined(__AVX2__)
    const auto means = [&](std::int64_t at) __attribute__((always_inline)) {
      F32s even, odd;
      deinterleave(load(upper + 2 * at), load(upper + 2 * at + kLanes), &even, &odd);
      F32s low_even, low_odd;
      deinterleave(load(lower + 2 * at), load(lower + 2 * at + kLanes), &low_even, &low_odd);
      store(to + at, 0.25f * ((even + odd) + (low_even + low_odd)));
    };
    for (; x + kLanes <= columns; x += kLanes) means(x);
    // The last vector again, over some that are done.
    if (x < columns && columns >= kLanes) {
      means(columns - kLanes);
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
