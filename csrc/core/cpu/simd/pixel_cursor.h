// Positions of samples that are displacements from the pixels of a grid.
//
// Problem: each displacement must be added to its own pixel, although a vector of samples may begin
// in one row of the grid and end in a later one.
//
// Solution: PixelCursor steps through the grid, one vector at a time.
//
// Usage:
//   PixelCursor cursor(positions);
//   cursor.add_pixels(x, y);  // once per vector, in order
// or, for the vectors of a whole block, without a test in each:
//   if (cursor.block_in_one_row()) cursor.add_row_pixels(x, y);
#pragma once

#include "cpu/sample_blocks.h"
#include "cpu/simd/vec.h"

namespace cineflow::CINEFLOW_ISA {

/// Turns displacements into absolute coordinates.
class PixelCursor {
 public:
  explicit PixelCursor(const SamplePositions& positions)
      : width_(positions.width),
        first_column_(positions.column),
        columns_(positions.column + lane_numbers()),
        row_(splat(positions.row)) {}

  /// Whether the next kBlockSamples samples lie in one row.
  CINEFLOW_HD bool block_in_one_row() {
    begin_row();
    return column_ + kBlockSamples <= width_;
  }

  /// As add_pixels(), for a vector that lies in the present row.
  CINEFLOW_HD void add_row_pixels(F32s& x, F32s& y) {
    x += columns_;
    y += row_;
    column_ += kLanes;
    columns_ += kLanes;
  }

  /// Adds each sample's own pixel to its displacement, and moves on to the next vector.
  CINEFLOW_HD void add_pixels(F32s& x, F32s& y) {
    begin_row();
    if (column_ + kLanes <= width_) return add_row_pixels(x, y);
    const F32s index = static_cast<float>(column_) + lane_numbers();
    const F32s rows = Vectors::real(Vectors::truncate((index + 0.5f) / static_cast<float>(width_)));
    x += first_column_ + (index - rows * static_cast<float>(width_));
    y += row_ + rows;
    const std::int64_t next = column_ + kLanes;
    row_ += static_cast<float>(next / width_);
    column_ = next % width_;
    columns_ = (first_column_ + static_cast<float>(column_)) + lane_numbers();
  }

 private:
  /// Moves on to the next row where one has ended.
  CINEFLOW_HD void begin_row() {
    if (column_ != width_) return;
    column_ = 0;
    columns_ = first_column_ + lane_numbers();
    row_ += 1.0f;
  }

  std::int64_t width_;
  float first_column_;
  std::int64_t column_ = 0;  // of the vector's first pixel, counted from first_column_
  F32s columns_, row_;       // the vector's pixels, while they lie in one row
};

}  // namespace cineflow::CINEFLOW_ISA
