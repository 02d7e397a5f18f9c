// The matrix product, in register blocks of some rows by two vectors of columns.
//
// With 6 rows that makes 12 sums, which with the two vectors and one number fill the 16 registers
// of AVX2. AVX-512 has twice as many.
#include <algorithm>

#include "cpu/simd/kernels.h"
#include "cpu/simd/vec.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

constexpr int kRowsAtOnce = kLanes == 16 ? 12 : 6;
static_assert(kProductRows % kRowsAtOnce == 0);

template <int kRows, int kVectors>
void block(const MatrixProduct& task, std::int64_t row, std::int64_t column) {
  F32s sums[kRows][kVectors] = {};
  const float* first = task.first + row;
  const float* second = task.second + column;
  float* const out = task.out + row * task.out_stride + column;
#pragma GCC unroll 12
  for (int at = 0; at < kRows; ++at) {  // the sums take long enough for these lines to arrive
    __builtin_prefetch(out + at * task.out_stride, 1);
    __builtin_prefetch(out + at * task.out_stride + kVectors * kLanes - 1, 1);
  }
  for (std::int64_t channel = 0; channel < task.channels; ++channel) {
    F32s own[kVectors];
#pragma GCC unroll 2
    for (int vector = 0; vector < kVectors; ++vector) own[vector] = load(second + vector * kLanes);
#pragma GCC unroll 12
    for (int at = 0; at < kRows; ++at) {
      const F32s other = splat(first[at]);
#pragma GCC unroll 2
      for (int vector = 0; vector < kVectors; ++vector) sums[at][vector] += other * own[vector];
    }
    first += task.first_stride;
    second += task.second_stride;
  }
#pragma GCC unroll 12
  for (int at = 0; at < kRows; ++at) {
    float* to = out + at * task.out_stride;
#pragma GCC unroll 2
    for (int vector = 0; vector < kVectors; ++vector) {
      const F32s value = sums[at][vector] * task.scale;
      const auto left =
          static_cast<int>(std::min<std::int64_t>(kLanes, task.columns - column - vector * kLanes));
      if (left == kLanes) {
        store(to + vector * kLanes, value);
      } else {
        store_first(to + vector * kLanes, value, left);
      }
    }
  }
}

template <int kRows>
void rows_of(const MatrixProduct& task, std::int64_t row) {
  std::int64_t column = 0;
  for (; column + kLanes < task.columns; column += 2 * kLanes) block<kRows, 2>(task, row, column);
  if (column < task.columns) block<kRows, 1>(task, row, column);
}

template <int kRows = kRowsAtOnce>
void rest_of(const MatrixProduct& task, std::int64_t row) {
  if constexpr (kRows > 0) {
    if (task.rows - row == kRows) {
      rows_of<kRows>(task, row);
    } else {
      rest_of<kRows - 1>(task, row);
    }
  }
}

}  // namespace

void multiply_matrices(const MatrixProduct& task) noexcept {
  std::int64_t row = 0;
  for (; row + kRowsAtOnce <= task.rows; row += kRowsAtOnce) rows_of<kRowsAtOnce>(task, row);
  rest_of(task, row);
}

}  // namespace cineflow::CINEFLOW_ISA
