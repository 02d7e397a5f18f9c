// What the matrix product takes. The pyramid of RAFT's correlation and the correlation of patches
// use it.
#pragma once

#include <cstdint>

namespace cineflow {

/// Pixels of `second` are packed in whole vectors of any instruction set.
constexpr int kProductVector = 16;

/// Rows of `first` in one register block, of any instruction set, are a divisor of this.
constexpr int kProductRows = 12;

/// out[i][j] = scale * sum over c of first[c][i] * second[c][j].
struct MatrixProduct {
  const float* first;   // [channels][first_stride]
  const float* second;  // [channels][second_stride], whole vectors of kProductVector
  float* out;           // [rows][out_stride]; `columns` floats are written per row
  std::int64_t first_stride, second_stride, out_stride;
  std::int64_t channels;
  std::int64_t rows, columns;
  float scale;
};

}  // namespace cineflow
