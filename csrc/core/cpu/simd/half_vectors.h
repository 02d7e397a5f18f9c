// Vectors whose halves hold the sums of the same columns at two shifts.
#pragma once

#include "cpu/simd/vec.h"

#if defined(__AVX2__)
namespace cineflow::CINEFLOW_ISA {

constexpr int kHalfLanes = kLanes / 2;

/// The upper half is for the shift this many columns after that of the lower half.
constexpr int kUpperShift = 4;

/// Loads and stores the first `count` columns of each half; the other lanes are 0.
class HalfVectors {
 public:
#if defined(__AVX512F__)
  CINEFLOW_HD explicit HalfVectors(int count) : mask_(static_cast<__mmask8>(first_lanes(count))) {}

  CINEFLOW_HD F32s load_lower(const float* from) const {
    return _mm512_castps256_ps512(_mm256_maskz_loadu_ps(mask_, from));
  }
  CINEFLOW_HD F32s load_both(const float* lower, const float* upper) const {
    return _mm512_insertf32x8(load_lower(lower), _mm256_maskz_loadu_ps(mask_, upper), 1);
  }
  CINEFLOW_HD void store_lower(float* to, F32s values) const {
    _mm256_mask_storeu_ps(to, mask_, _mm512_castps512_ps256(values));
  }
  CINEFLOW_HD void store_upper(float* to, F32s values) const {
    _mm256_mask_storeu_ps(to, mask_, _mm512_extractf32x8_ps(values, 1));
  }

 private:
  __mmask8 mask_;
#else
  CINEFLOW_HD explicit HalfVectors(int count)
      : mask_(_mm_cmpgt_epi32(_mm_set1_epi32(count), _mm_setr_epi32(0, 1, 2, 3))) {}

  CINEFLOW_HD F32s load_lower(const float* from) const {
    return _mm256_castps128_ps256(_mm_maskload_ps(from, mask_));
  }
  CINEFLOW_HD F32s load_both(const float* lower, const float* upper) const {
    return _mm256_set_m128(_mm_maskload_ps(upper, mask_), _mm_maskload_ps(lower, mask_));
  }
  CINEFLOW_HD void store_lower(float* to, F32s values) const {
    _mm_maskstore_ps(to, mask_, _mm256_castps256_ps128(values));
  }
  CINEFLOW_HD void store_upper(float* to, F32s values) const {
    _mm_maskstore_ps(to, mask_, _mm256_extractf128_ps(values, 1));
  }

 private:
  __m128i mask_;
#endif
};

/// The same columns in both halves.
CINEFLOW_HD F32s load_twice(const float* from) {
#if defined(__AVX512F__)
  return _mm512_broadcast_f32x8(_mm256_loadu_ps(from));
#else
  return _mm256_broadcast_ps(reinterpret_cast<const __m128*>(from));
#endif
}

/// Half a vector of columns of one row at two shifts: `shift`, at most 8, and kUpperShift after it.
class ShiftedHalves {
 public:
#if defined(__AVX512F__)
  // Eight columns and eight shifts are one vector, so nothing else is loaded.
  CINEFLOW_HD explicit ShiftedHalves(const float* from) : every_(load(from)) {}

  CINEFLOW_HD F32s at(int shift) const {
    const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7, 8, 9, 10, 11);
    return _mm512_permutexvar_ps(_mm512_add_epi32(first, _mm512_set1_epi32(shift)), every_);
  }

 private:
  F32s every_;
#else
  CINEFLOW_HD explicit ShiftedHalves(const float* from) : from_(from) {}

  CINEFLOW_HD F32s at(int shift) const { return load(from_ + shift); }

 private:
  const float* from_;
#endif
};

}  // namespace cineflow::CINEFLOW_ISA
#endif
