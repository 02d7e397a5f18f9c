// The windows of a look-up on the CPU: positions, maps of any stride, and results of any type.
//
// Usage:
//   LookupWindows windows(coords, out, radius, image, row, first, count);
//   LookupRun& run = windows.place(level, height, width);  // fill in its maps
//   windows.look_up(level);
#pragma once

#include <algorithm>

#include "cineflow/correlation_pyramid.h"
#include "cpu/kernel_table.h"

namespace cineflow {

/// Columns of a window with the neighbours of its samples, at most, and its elements.
constexpr int kMostColumns = 2 * kMaxLookupRadius + 2;
constexpr int kMostWindow = kMostColumns * kMostColumns;

/// Floats of the windows of a run.
constexpr int kWindowFloats = kLookupPixels * kMostWindow;

class LookupWindows {
 public:
  /// Of up to kLookupPixels pixels of a row, from `first` on.
  LookupWindows(const TensorView& coords, const TensorView& out, int radius, std::int64_t image,
                std::int64_t row, std::int64_t first, int count) noexcept;

  /// Positions on one level of maps with these sides at level 0. The caller adds the maps.
  LookupRun& place(int level, std::int64_t height, std::int64_t width) noexcept;

  /// A level after place().
  LookupRun& level(int level) noexcept { return levels_[level]; }

  /// Samples the windows of a level and writes them to its channels of `out`.
  void look_up(int level) noexcept;

 private:
  /// The element of `out` that has the first sample of a level of the first pixel.
  std::int64_t offset_of(int level) const noexcept;

  const TensorView& out_;
  std::int64_t image_, row_, first_;
  int count_, radius_;
  float x_[kLookupPixels], y_[kLookupPixels];  // pixels of level 0
  LookupRun levels_[kMaxLevels];
};

/// Makes the maps of `run` the windows [kMostWindow] of its pixels, in `windows` [kWindowFloats].
/// Of a window, only the pixels that are inside are read.
void use_windows(const float* windows, LookupRun* run) noexcept;

/// Calls `body(window, y, x, columns)` for each row of the window of `pixel`: the address in
/// `windows` of the first `columns` pixels that are inside, and their place (x, y) in the map.
template <typename Body>
void for_each_row(const LookupRun& run, int pixel, float* windows, const Body& body) noexcept {
  const std::int64_t side = 2 * run.radius + 2;
  const std::int64_t first = std::max<std::int64_t>(0, run.x[pixel]);
  const std::int64_t last = std::min(run.width, run.x[pixel] + side);
  if (first >= last) return;
  float* window = windows + pixel * kMostWindow + (first - run.x[pixel]);
  for (std::int64_t row = 0; row < side; ++row, window += kMostColumns) {
    const std::int64_t y = run.y[pixel] + row;
    if (y >= 0 && y < run.height) body(window, y, first, last - first);
  }
}

}  // namespace cineflow
