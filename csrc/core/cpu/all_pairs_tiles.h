// What the inner kernels of RAFT's correlation take (kernel_table.h).
#pragma once

#include <cstdint>

#include "cineflow/tensor_view.h"

namespace cineflow {

/// Pixels of one look-up, which are adjacent in the result.
constexpr int kLookupPixels = 16;

/// Windows of (2r + 1)^2 samples of one level, for up to kLookupPixels pixels with a map each.
/// Every array is filled to its end: behind the last pixel with that pixel again.
struct LookupRun {
  const void* maps[kLookupPixels];     // of each pixel
  std::int64_t origin[kLookupPixels];  // pixel (x, y) of a map is element y * pitch + x - origin
  // Elements that may be read before and from the first of each map. Loads of a row of a window
  // reach into the maps next to it; those values are not used.
  std::int64_t before[kLookupPixels], after[kLookupPixels];
  DType dtype;
  std::int64_t height, width;  // of every map
  std::int64_t pitch;
  const LookupRun* next;  // of the same pixels, or null; its maps are prefetched
  std::int32_t x[kLookupPixels], y[kLookupPixels];  // the first column and row of a window
  float x_fraction[kLookupPixels], y_fraction[kLookupPixels];  // of all its samples, in [0, 1]
  int count;
  int radius;
  float* out;  // [(2r + 1)^2][count in whole vectors], x displacement first
  std::int64_t out_stride;
};

/// out[i] = scale * sum over c of f1[c] * f2[i][c].
struct DotRow {
  const float* f1;
  const float* f2;
  std::int64_t channels;  // a multiple of kDotChannels; also the distance of rows of f2
  int count;
  float scale;
  float* out;
};
constexpr std::int64_t kDotChannels = 16;

}  // namespace cineflow
