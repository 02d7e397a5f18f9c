// Vectors of the instruction set that this file is compiled for.
//
// Problem: the same kernels run with 4, 8 or 16 lanes, and no AVX-512 code may be linked into
// another path.
//
// Solution: the compiler's own vector types, whose arithmetic is written with operators. Intrinsics
// appear only where these types have no operation. The files of this folder are compiled once per
// instruction set; CINEFLOW_ISA names their namespace, and everything here lives in it.
//
// Usage: F32s, I32s, ... have kLanes lanes; load() and store() convert any storage type to f32 and
// back; Lanes holds one bit per lane.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

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

/// An object of type T, read from memory of any alignment and type.
template <typename T>
CINEFLOW_HD T load_bits(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

// --- Arithmetic ---

CINEFLOW_HD F32s splat(float value) { return value - F32s{}; }

/// a * b + c, rounded once where the instruction set has such an instruction. In a sum of two
/// products the compiler could fuse either one; this fixes which, so that every path to a pixel
/// gives the same bits.
CINEFLOW_HD F32s multiply_add(F32s a, F32s b, F32s c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}

CINEFLOW_HD float multiply_add(float a, float b, float c) {
#if defined(__FMA__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

/// Collects non-finite values: a lane of `marks` becomes NaN once its `value` is infinite or NaN.
CINEFLOW_HD F32s mark_non_finite(F32s marks, F32s value) {
  return multiply_add(value, F32s{}, marks);
}

CINEFLOW_HD F32s square_root(F32s values) {
#if defined(__AVX512F__)
  return _mm512_sqrt_ps(values);
#elif defined(__AVX2__)
  return _mm256_sqrt_ps(values);
#else
  for (int lane = 0; lane < kLanes; ++lane) values[lane] = __builtin_sqrtf(values[lane]);
  return values;
#endif
}

/// 0, 1, 2, ...
CINEFLOW_HD F32s lane_numbers() {
  F32s numbers;
  for (int lane = 0; lane < kLanes; ++lane) numbers[lane] = static_cast<float>(lane);
  return numbers;
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

// --- Lanes as bits: bit i stands for lane i ---

using Lanes = unsigned;
constexpr Lanes kAllLanes = (1u << kLanes) - 1;

/// The first `count` lanes, or all of them where `count` is larger.
CINEFLOW_HD Lanes first_lanes(int count) { return count >= kLanes ? kAllLanes : (1u << count) - 1; }

/// The lanes for which a comparison holds.
CINEFLOW_HD Lanes lanes_of(I32s comparison) {
#if defined(__AVX512F__)
  return _mm512_movepi32_mask((__m512i)comparison);
#elif defined(__AVX2__)
  return _mm256_movemask_ps((__m256)comparison);
#elif defined(__SSE2__)
  return _mm_movemask_ps((__m128)comparison);
#else
  Lanes lanes = 0;
  for (int lane = 0; lane < kLanes; ++lane) lanes |= comparison[lane] != 0 ? 1u << lane : 0u;
  return lanes;
#endif
}

/// The lanes with 0 <= value < end. NaN is never among them.
CINEFLOW_HD Lanes lanes_below(F32s value, F32s end) {
#if defined(__AVX512F__)
  const __mmask16 positive = _mm512_cmp_ps_mask(value, F32s{}, _CMP_GE_OQ);
  return _mm512_mask_cmp_ps_mask(positive, value, end, _CMP_LT_OQ);
#else
  return lanes_of((value >= 0.0f) & (value < end));
#endif
}

// --- Memory: whole vectors of any storage type, converted to and from f32 ---

CINEFLOW_HD F32s to_floats(U8s values) { return __builtin_convertvector(values, F32s); }

CINEFLOW_HD F32s bfloat16_to_floats(U16s bits) {
  return (F32s)(__builtin_convertvector(bits, U32s) << 16);
}

CINEFLOW_HD F32s half_to_floats(U16s bits) {
#if defined(__AVX512F__)
  return _mm512_cvtph_ps((__m256i)bits);
#elif defined(__F16C__)
  return _mm256_cvtph_ps((__m128i)bits);
#else
  // The steps of to_float(Half), on vectors.
  const U32s wide = __builtin_convertvector(bits, U32s);
  const U32s magnitude = (wide & 0x7fffu) << 13;
  const F32s scaled = (F32s)magnitude * 0x1p112f;
  const U32s value = scaled >= 65536.0f ? magnitude | 0x7f800000u : (U32s)scaled;
  return (F32s)(value | (wide & 0x8000u) << 16);
#endif
}

CINEFLOW_HD F32s load(const float* from) { return load_bits<F32s>(from); }
CINEFLOW_HD F32s load(const std::uint8_t* from) { return to_floats(load_bits<U8s>(from)); }
CINEFLOW_HD F32s load(const BFloat16* from) { return bfloat16_to_floats(load_bits<U16s>(from)); }
CINEFLOW_HD F32s load(const Half* from) { return half_to_floats(load_bits<U16s>(from)); }

CINEFLOW_HD void store(float* to, F32s values) { std::memcpy(to, &values, sizeof(values)); }
CINEFLOW_HD void store(std::int32_t* to, I32s values) { std::memcpy(to, &values, sizeof(values)); }

CINEFLOW_HD void store(BFloat16* to, F32s values) {
  // The steps of from_float<BFloat16>, on vectors.
  const U32s bits = (U32s)values;
  const U32s rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  const U32s quiet_nan = bits >> 16 | 0x40u;
  const U32s wide = values != values ? quiet_nan : rounded;
#if defined(__AVX2__) && !defined(__AVX512F__)
  // GCC's conversion takes three times as many shuffles.
  const __m256i halves = _mm256_packus_epi32((__m256i)wide, (__m256i)wide);
  const __m128i narrow = _mm256_castsi256_si128(_mm256_permute4x64_epi64(halves, 0x08));
#else
  const U16s narrow = __builtin_convertvector(wide, U16s);
#endif
  std::memcpy(to, &narrow, sizeof(narrow));
}

CINEFLOW_HD void store(Half* to, F32s values) {
#if defined(__AVX512F__)
  const __m256i narrow = _mm512_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  std::memcpy(to, &narrow, sizeof(narrow));
#elif defined(__F16C__)
  const __m128i narrow = _mm256_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT);
  std::memcpy(to, &narrow, sizeof(narrow));
#else
  for (int lane = 0; lane < kLanes; ++lane) to[lane] = from_float<Half>(values[lane]);
#endif
}

CINEFLOW_HD void store(std::uint8_t* to, F32s values) {
  // The steps of from_float<uint8_t>, on vectors.
#if defined(__AVX512F__)
  const F32s level = _mm512_min_ps(_mm512_max_ps(values, F32s{}), splat(255.0f));
  const __m128i narrow = _mm512_cvtepi32_epi8((__m512i)(level + 8388608.0f));
  std::memcpy(to, &narrow, sizeof(narrow));
#elif defined(__AVX2__)
  const F32s level = _mm256_min_ps(_mm256_max_ps(values, F32s{}), splat(255.0f));
  const __m256i bits = _mm256_and_si256((__m256i)(level + 8388608.0f), _mm256_set1_epi32(0xff));
  const __m128i half =
      _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
  const __m128i narrow = _mm_packus_epi16(half, half);
  std::memcpy(to, &narrow, 8);
#else
  F32s level = values > 0.0f ? values : F32s{};
  level = level < 255.0f ? level : splat(255.0f);
  const U8s narrow = __builtin_convertvector((U32s)(level + 8388608.0f) & 0xffu, U8s);
  std::memcpy(to, &narrow, sizeof(narrow));
#endif
}

#if defined(__AVX2__) && !defined(__AVX512F__)
/// All bits of the first `count` lanes.
CINEFLOW_HD __m256i first_lanes_mask(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif

/// The first `count` values; the other lanes are 0.
template <typename Source>
CINEFLOW_HD F32s load_first(const Source* from, int count) {
#if defined(__AVX512F__)
  if constexpr (sizeof(Source) == sizeof(float)) {
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>(first_lanes(count)), from);
  }
#elif defined(__AVX2__)
  if constexpr (std::is_same_v<Source, float>) {
    return _mm256_maskload_ps(from, first_lanes_mask(count));
  }
#endif
  Source values[kLanes] = {};
  for (int lane = 0; lane < count; ++lane) values[lane] = from[lane];
  return load(values);
}

/// Stores the first `count` lanes. Inlined, because a call would make the loop around it spill its
/// registers.
template <typename Result>
CINEFLOW_HD void store_first(Result* to, F32s values, int count) {
#if defined(__AVX512F__)
  if constexpr (sizeof(Result) == sizeof(float)) {
    return _mm512_mask_storeu_ps(to, static_cast<__mmask16>(first_lanes(count)), values);
  }
#elif defined(__AVX2__)
  if constexpr (std::is_same_v<Result, float>) {
    return _mm256_maskstore_ps(to, first_lanes_mask(count), values);
  }
#endif
  Result narrow[kLanes];
  store(narrow, values);
  for (int lane = 0; lane < count; ++lane) to[lane] = narrow[lane];
}

}  // namespace cineflow::CINEFLOW_ISA
