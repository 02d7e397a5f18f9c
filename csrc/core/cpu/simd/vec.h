// Vectors of the instruction set this file is compiled for, in the compiler's own vector types.
//
// The files of this folder are compiled once per instruction set, with CINEFLOW_ISA naming the
// namespace; everything here lives in it, so that no AVX-512 code is linked into another path.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "math/host_device.h"
#include "math/storage.h"

namespace cineflow::CINEFLOW_ISA {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

using F32s = float __attribute__((vector_size(4 * kLanes)));
using I32s = std::int32_t __attribute__((vector_size(4 * kLanes)));
using U32s = std::uint32_t __attribute__((vector_size(4 * kLanes)));
using U16s = std::uint16_t __attribute__((vector_size(2 * kLanes)));
using U8s = std::uint8_t __attribute__((vector_size(kLanes)));

template <typename Vector>
CINEFLOW_HD Vector load_bits(const void* from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof(vector));
  return vector;
}

CINEFLOW_HD void store(float* to, F32s vector) { std::memcpy(to, &vector, sizeof(vector)); }
inline __attribute__((noinline)) void store_some(float* to, F32s vector, int count) {
  std::memcpy(to, &vector, sizeof(float) * count);
}
CINEFLOW_HD void store(std::int32_t* to, I32s vector) { std::memcpy(to, &vector, sizeof(vector)); }

CINEFLOW_HD F32s splat(float value) { return value - F32s{}; }

/// kLanes neighbours, as f32.
CINEFLOW_HD F32s load(const float* from) { return load_bits<F32s>(from); }
CINEFLOW_HD F32s load(const std::uint8_t* from) {
  return __builtin_convertvector(load_bits<U8s>(from), F32s);
}
CINEFLOW_HD F32s load(const BFloat16* from) {
  const U32s bits = __builtin_convertvector(load_bits<U16s>(from), U32s) << 16;
  return load_bits<F32s>(&bits);
}
CINEFLOW_HD F32s load(const Half* from) {
  // The steps of to_float(Half), on vectors.
  const U32s bits = __builtin_convertvector(load_bits<U16s>(from), U32s);
  const U32s magnitude = (bits & 0x7fffu) << 13;
  const F32s scaled = load_bits<F32s>(&magnitude) * 0x1p112f;
  const U32s finite = load_bits<U32s>(&scaled);
  const U32s value = (scaled >= 65536.0f ? magnitude | 0x7f800000u : finite) | (bits & 0x8000u)
                                                                                   << 16;
  return load_bits<F32s>(&value);
}

/// The vector side of math/bilinear.h.
struct Vectors {
  using Real = F32s;
  using Int = I32s;
  using Mask = I32s;
  static CINEFLOW_HD Int truncate(Real value) { return __builtin_convertvector(value, Int); }
  static CINEFLOW_HD Real real(Int value) { return __builtin_convertvector(value, Real); }
  static CINEFLOW_HD Real splat(float value) { return CINEFLOW_ISA::splat(value); }
};

#if defined(__clang__)
#define CINEFLOW_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define CINEFLOW_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, I32s{__VA_ARGS__})
#endif

#if defined(__AVX512F__)
#define CINEFLOW_EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define CINEFLOW_ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif defined(__AVX2__)
#define CINEFLOW_EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define CINEFLOW_ODD 1, 3, 5, 7, 9, 11, 13, 15
#else
#define CINEFLOW_EVEN 0, 2, 4, 6
#define CINEFLOW_ODD 1, 3, 5, 7
#endif

/// kLanes pixels and their right neighbours.
struct Pairs {
  F32s left, right;
};

#if defined(__SSE2__)
/// Four floats: two neighbours at one place, two at another. Two loads, no gather.
CINEFLOW_HD __m128 two_pairs(const float* base, const std::int32_t* offsets) {
  const __m128d first = _mm_load_sd(reinterpret_cast<const double*>(base + offsets[0]));
  return _mm_castpd_ps(_mm_loadh_pd(first, reinterpret_cast<const double*>(base + offsets[1])));
}
#endif

#if defined(__AVX512F__)
/// Four quarters side by side.
CINEFLOW_HD F32s joined(const __m128* quarters) {
  const __m256 low = _mm256_insertf128_ps(_mm256_castps128_ps256(quarters[0]), quarters[1], 1);
  const __m256 high = _mm256_insertf128_ps(_mm256_castps128_ps256(quarters[2]), quarters[3], 1);
  return (F32s)_mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}

CINEFLOW_HD F32s eight_pairs(const float* base, const std::int32_t* offsets) {
  const __m128 quarters[4] = {two_pairs(base, offsets), two_pairs(base, offsets + 2),
                              two_pairs(base, offsets + 4), two_pairs(base, offsets + 6)};
  return joined(quarters);
}
#endif

/// Pairs that follow one another in two vectors, as left and right pixels.
CINEFLOW_HD Pairs split(F32s first, F32s second) {
  return {CINEFLOW_SHUFFLE(first, second, CINEFLOW_EVEN),
          CINEFLOW_SHUFFLE(first, second, CINEFLOW_ODD)};
}

/// The pairs at kLanes offsets (in elements), each fetched by one 64-bit load.
CINEFLOW_HD Pairs load_pairs(const float* base, const std::int32_t* offsets) {
#if defined(__AVX512F__)
  const F32s first = eight_pairs(base, offsets);
  const F32s second = eight_pairs(base, offsets + 8);
#elif defined(__AVX2__)
  const F32s first = (F32s)_mm256_insertf128_ps(_mm256_castps128_ps256(two_pairs(base, offsets)),
                                                two_pairs(base, offsets + 2), 1);
  const F32s second = (F32s)_mm256_insertf128_ps(
      _mm256_castps128_ps256(two_pairs(base, offsets + 4)), two_pairs(base, offsets + 6), 1);
#elif defined(__SSE2__)
  const F32s first = (F32s)two_pairs(base, offsets);
  const F32s second = (F32s)two_pairs(base, offsets + 2);
#else
  float pairs[2 * kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    std::memcpy(pairs + 2 * lane, base + offsets[lane], 2 * sizeof(float));
  }
  const F32s first = load(pairs);
  const F32s second = load(pairs + kLanes);
#endif
  return split(first, second);
}

/// Narrow types: the two neighbours are converted one by one.
template <typename Source>
CINEFLOW_HD Pairs load_pairs(const Source* base, const std::int32_t* offsets) {
  Source left[kLanes];
  Source right[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    left[lane] = base[offsets[lane]];
    right[lane] = base[offsets[lane] + 1];
  }
  return {load(left), load(right)};
}

/// Neighbours that lie `step` elements apart.
template <typename Source>
CINEFLOW_HD Pairs load_apart(const Source* base, const std::int32_t* offsets, std::int64_t step) {
  Source left[kLanes];
  Source right[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    left[lane] = base[offsets[lane]];
    right[lane] = base[offsets[lane] + step];
  }
  return {load(left), load(right)};
}

/// 0, 1, 2, ...
CINEFLOW_HD F32s lane_numbers() {
  F32s numbers;
  for (int lane = 0; lane < kLanes; ++lane) numbers[lane] = static_cast<float>(lane);
  return numbers;
}

/// Whether any lane of a comparison's result is set.
CINEFLOW_HD bool any(I32s mask) {
#if defined(__AVX512F__)
  return _mm512_movepi32_mask((__m512i)mask) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_ps((__m256)mask) != 0;
#elif defined(__SSE2__)
  return _mm_movemask_ps((__m128)mask) != 0;
#else
  std::int32_t set = 0;
  for (int lane = 0; lane < kLanes; ++lane) set |= mask[lane];
  return set != 0;
#endif
}

}  // namespace cineflow::CINEFLOW_ISA
