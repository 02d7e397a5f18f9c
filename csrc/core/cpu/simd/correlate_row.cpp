// The register block of the correlation of volumes: some vectors of one row by some shifts.
//
// The block of images (correlation.cpp) shares vectors of f2 between three rows. Here each row is
// written on its own, in the order of memory, which matters more where the result is large. A
// vector of f2 is then a memory operand of one multiply-add.
#include <algorithm>

#include "cpu/simd/kernels.h"
#include "cpu/simd/vec.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

constexpr int kMostShifts = 9;

/// Vectors of a block of `shifts` shifts. Their sums and one vector of f1 fill 16 registers.
constexpr int vectors_for(int shifts) {
  return shifts >= 8 ? 1 : shifts >= 6 ? 2 : shifts >= 4 ? 3 : 4;
}

/// `kDense`: shifts are one column apart, so their addresses are constants.
template <int kVectors, int kCount, bool kDense>
void block(const CorrelationRow& row, int first_shift, std::int64_t column) {
  const std::int64_t step = kDense ? 1 : row.step;
  F32s sums[kVectors][kCount] = {};
  const float* f1 = row.f1 + column;
  const float* f2 = row.f2 + column + first_shift * step;
  for (std::int64_t channel = 0; channel < row.channels; ++channel) {
#pragma GCC unroll 4
    for (int vector = 0; vector < kVectors; ++vector) {
      const F32s first = load(f1 + vector * kLanes);
#pragma GCC unroll 9
      for (int shift = 0; shift < kCount; ++shift) {
        sums[vector][shift] += first * load(f2 + shift * step + vector * kLanes);
      }
    }
    f1 += row.f1_stride;
    f2 += row.f2_stride;
  }
#pragma GCC unroll 9
  for (int shift = 0; shift < kCount; ++shift) {
    float* out = row.out + (first_shift + shift) * row.out_stride + column;
#pragma GCC unroll 4
    for (int vector = 0; vector < kVectors; ++vector) {
      const F32s value = sums[vector][shift] * row.scale;
      const auto left =
          static_cast<int>(std::min<std::int64_t>(kLanes, row.columns - column - vector * kLanes));
      if (left == kLanes) {
        store(out + vector * kLanes, value);
      } else {
        store_first(out + vector * kLanes, value, left);
      }
    }
  }
}

/// `kCount` shifts of the whole row.
template <int kCount, bool kDense>
void shifts_of(const CorrelationRow& row, int first_shift) {
  constexpr int kVectors = vectors_for(kCount);
  std::int64_t column = 0;
  for (; column + (kVectors - 1) * kLanes < row.columns; column += kVectors * kLanes) {
    block<kVectors, kCount, kDense>(row, first_shift, column);
  }
  for (; column < row.columns; column += kLanes) block<1, kCount, kDense>(row, first_shift, column);
}

template <bool kDense, int kCount = kMostShifts>
void rest_of(const CorrelationRow& row, int first_shift) {
  if constexpr (kCount > 0) {
    if (row.shifts - first_shift == kCount) {
      shifts_of<kCount, kDense>(row, first_shift);
    } else {
      rest_of<kDense, kCount - 1>(row, first_shift);
    }
  }
}

template <bool kDense>
void all_shifts(const CorrelationRow& row) {
  int shift = 0;
  for (; shift + kMostShifts <= row.shifts; shift += kMostShifts) {
    shifts_of<kMostShifts, kDense>(row, shift);
  }
  rest_of<kDense>(row, shift);
}

}  // namespace

void correlate_row(const CorrelationRow& row) noexcept {
  row.step == 1 ? all_shifts<true>(row) : all_shifts<false>(row);
}

}  // namespace cineflow::CINEFLOW_ISA
