// The matrix product of the patch correlation: up to 6 cells of f1 by two vectors of cells of f2.
//
// That makes 12 sums, which with the two vectors and one number fill the 16 registers of AVX2.
#include <algorithm>

#include "cpu/simd/kernels.h"
#include "cpu/simd/vec.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

template <int kRows, int kVectors>
void block(const PatchProducts& task, std::int64_t row, std::int64_t column) {
  F32s sums[kRows][kVectors] = {};
  const float* first = task.first + row;
  const float* second = task.second + column;
  for (std::int64_t channel = 0; channel < task.channels; ++channel) {
    F32s own[kVectors];
#pragma GCC unroll 2
    for (int vector = 0; vector < kVectors; ++vector) own[vector] = load(second + vector * kLanes);
#pragma GCC unroll 6
    for (int at = 0; at < kRows; ++at) {
      const F32s other = splat(first[at]);
#pragma GCC unroll 2
      for (int vector = 0; vector < kVectors; ++vector) sums[at][vector] += other * own[vector];
    }
    first += task.first_stride;
    second += task.second_stride;
  }
#pragma GCC unroll 6
  for (int at = 0; at < kRows; ++at) {
    float* out = task.out + (row + at) * task.out_stride + column;
#pragma GCC unroll 2
    for (int vector = 0; vector < kVectors; ++vector) {
      const F32s value = sums[at][vector] * task.scale;
      const auto left =
          static_cast<int>(std::min<std::int64_t>(kLanes, task.columns - column - vector * kLanes));
      if (left == kLanes) {
        store(out + vector * kLanes, value);
      } else {
        store_first(out + vector * kLanes, value, left);
      }
    }
  }
}

template <int kRows>
void rows_of(const PatchProducts& task, std::int64_t row) {
  std::int64_t column = 0;
  for (; column + kLanes < task.columns; column += 2 * kLanes) block<kRows, 2>(task, row, column);
  if (column < task.columns) block<kRows, 1>(task, row, column);
}

template <int kRows = kPatchProductRows>
void rest_of(const PatchProducts& task, std::int64_t row) {
  if constexpr (kRows > 0) {
    if (task.rows - row == kRows) {
      rows_of<kRows>(task, row);
    } else {
      rest_of<kRows - 1>(task, row);
    }
  }
}

}  // namespace

void patch_products(const PatchProducts& task) noexcept {
  std::int64_t row = 0;
  for (; row + kPatchProductRows <= task.rows; row += kPatchProductRows)
    rows_of<kPatchProductRows>(task, row);
  rest_of(task, row);
}

}  // namespace cineflow::CINEFLOW_ISA
