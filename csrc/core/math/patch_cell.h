// Which pixels a cell of a patch reads along one axis, and their weights.
//
// Problem: a cell is the mean of pool x pool bilinear samples, which would read each pixel up to
// four times.
//
// Solution: the samples of a cell lie one pixel apart, so along each axis they read a run of
// pool + 1 pixels. Their weights are added up here. The weight of a pixel in a cell is the product
// of its weights along x and y.
#pragma once

#include "math/bilinear.h"

namespace cineflow {

/// Most pixels of a cell along one axis: one more than the samples reach, because coordinates above
/// 2^23 are rounded to whole pixels.
constexpr int cell_limit(int pool) { return pool + 2; }

/// First pixel and number of pixels. An axis on which the cell reads nothing has the count 0.
struct PixelRun {
  std::int32_t first;
  std::int32_t count;
};

/// The run of cell number `cell` on an axis of `length` pixels, and its weights.
///
/// `point` is the position of the key point on that axis, in pixels. weights[at * step] receives
/// the weight of pixel first + at.
CINEFLOW_HD PixelRun cell_run(float point, int cell, int size, int pool, std::int32_t length,
                              Border border, float* weights, int step) {
  PixelRun run{0, 0};
  const float share = 1.0f / static_cast<float>(pool);
  for (int sample = 0; sample < pool; ++sample) {
    const float position = point + static_cast<float>(cell * pool + sample - size / 2);
    const Tap tap = tap_at(position, length, border);
    for (int side = 0; side < 2; ++side) {
      if (!(side == 0 ? tap.low_inside : tap.high_inside)) continue;
      const std::int32_t pixel = tap.low + side;
      if (run.count == 0) run.first = pixel;
      const std::int32_t at = pixel - run.first;
      while (run.count <= at) weights[run.count++ * step] = 0.0f;
      weights[at * step] += share * (side == 0 ? tap.low_weight : tap.high_weight);
    }
  }
  return run;
}

}  // namespace cineflow
