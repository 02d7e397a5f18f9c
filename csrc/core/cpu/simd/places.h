// Where a run's samples lie, a vector of them at a time.
#pragma once

#include "cpu/kernels.h"
#include "cpu/simd/corners.h"
#include "cpu/simd/vec.h"

namespace cineflow::CINEFLOW_ISA {

/// The pixels of a grid of which a run's samples are so far away.
class OwnPixels {
 public:
  explicit OwnPixels(const Coordinates& on)
      : width_(on.width),
        first_column_(on.column),
        columns_(on.column + lane_numbers()),
        row_(splat(on.row)) {}

  /// From displacements to places, and on to the next vector.
  CINEFLOW_HD void displace(F32s& x, F32s& y) {
    if (column_ == width_) {  // the next row begins
      column_ = 0;
      columns_ = first_column_ + lane_numbers();
      row_ += 1.0f;
    }
    if (column_ + kLanes <= width_) {  // all of one row
      x += columns_;
      y += row_;
      column_ += kLanes;
      columns_ += kLanes;
      return;
    }
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
  std::int64_t width_;
  float first_column_;
  std::int64_t column_ = 0;  // of the vector's first pixel, from the first column on
  F32s columns_, row_;       // of its pixels, while they are of one row
};

/// Where kLanes samples lie: the offsets of their upper left corners, in elements, and how far
/// beyond these they are, in pixels. With a corner outside: no offsets, and their coordinates.
struct Place {
  Lanes outside;  // the samples with a corner outside
  I32s top;
  F32s x, y;
};

/// `kSideBySide`: neighbouring columns are neighbours in memory.
template <bool kSideBySide>
CINEFLOW_HD Place place_of(const SampleChunk& chunk, F32s x, F32s y) {
  const Lanes outside = ~lanes_inside(chunk, x, y) & kAllLanes;
  if (outside != 0) return {outside, I32s{}, x, y};
  const I32s left = Vectors::truncate(x);
  const I32s above = Vectors::truncate(y);
  const I32s row = above * static_cast<std::int32_t>(chunk.row_stride);
  return {0, row + (kSideBySide ? left : left * static_cast<std::int32_t>(chunk.column_stride)),
          x - Vectors::real(left), y - Vectors::real(above)};
}

}  // namespace cineflow::CINEFLOW_ISA
