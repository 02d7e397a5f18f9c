// What the inner kernels of lucas_kanade_step take: rows of cells, and the pixels of one.
//
// Rows of cells have a plane for each sum. They are whole vectors: the cells behind the last one
// are 0.
#pragma once

#include <cstdint>

namespace cineflow {

/// xx, xy, yy, xt, yt: the sums of a cell that are weighted and windowed.
constexpr int kEquationPlanes = 5;

/// One row of two images: out are their mean and difference.
struct PixelPair {
  const float* previous;
  const float* current;
  std::int64_t count;
  float* mean;    // out: [1 + count + 1], with the first and the last pixel once more
  float* change;  // out: [count]; null where only the mean is wanted
};

/// The sums of one row of cells.
struct CellGather {
  const float* mean;  // pixel 0 of the row of pixels above the cells
  const float* change;
  std::int64_t pitch;  // from one row of pixels to the next, of both
  int cell;            // pixels along a side
  std::int64_t pixels;
  const float* mask;  // [cells]
  float* columns;     // scratch: [6][pitch]
  std::int64_t cells;
  std::int64_t padded_cells;
  float* equations[kEquationPlanes];  // out: [padded_cells] each
  float* variance;                    // out: mean square of the change
  float* prior;                       // out: the mask, 0 where the cell does not count
};

/// to[i] = sum over k of taps[k] * from[k * step + i], for all planes. Whole vectors.
struct WindowSum {
  const float* from;  // of plane 0
  std::int64_t from_plane, step;
  const float* taps;
  int count;
  float* to;  // of plane 0
  std::int64_t to_plane;
  int planes;
  std::int64_t cells;
};

/// A row of cells, its equations and what is known of it. Each kernel uses some of it.
struct CellRow {
  const float* equations[kEquationPlanes];
  const float* variance;
  const float* prior;
  const float* around[5];  // rows of sums along x of the variance
  const float* sums;       // windowed planes, `plane` apart: 5 to solve, 2 to refine
  std::int64_t plane;
  float trust, ridge;
  std::int64_t cells;  // whole vectors
  float* weight;       // weigh writes it, leave reads it
  float* weighted;     // out: planes `plane` apart: 5 of weigh, 2 of leave
  float* inverse[3];   // solve writes it, refine reads it
  float* flow[2];      // solve writes it, refine adds to it
  float* unexplained;  // out of explain
};

}  // namespace cineflow
