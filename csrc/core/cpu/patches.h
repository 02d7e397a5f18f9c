// What the inner kernels of the patch correlation take.
#pragma once

#include <cstdint>

#include "cineflow/patch_correlation.h"
#include "math/patch_cell.h"

namespace cineflow {

/// The cells of a patch along one axis.
struct PatchAxis {
  int cells;
  std::int32_t begin, end;        // pixels that any cell reads
  std::int32_t first[kMaxPatch];  // of each cell
  std::int32_t count[kMaxPatch];
  float weights[3 * kMaxPatch];  // weights[at * cells + cell], see cell_run()
};

/// A patch of every channel of one map, as the means of its cells.
struct PatchSampling {
  const void* map;  // the first channel
  DType dtype;
  std::int64_t channels;
  std::int64_t channel_stride, row_stride, column_stride;  // in elements
  const PatchAxis* rows;
  const PatchAxis* columns;
  float* out;  // [channels][out_stride], the cells row after row
  std::int64_t out_stride;
};

}  // namespace cineflow
