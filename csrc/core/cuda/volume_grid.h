// The threads of a kernel that has one for each pixel of a volume [N, C, D, H, W].
//
// Usage: launch(name, volume_grid(out, tasks, across), ..., across), and in the kernel
//   const GridPixel pixel = pixel_of(out, tiles_across);
#pragma once

#include <cstdint>

#include "cineflow/tensor_view.h"
#include "cuda/launch.h"

namespace cineflow {

constexpr int kVolumeBlockX = 32;
constexpr int kVolumeBlockY = 4;
constexpr int kVolumeThreads = kVolumeBlockX * kVolumeBlockY;

/// A pixel of the grid. Rows are counted through all slices.
struct GridPixel {
  int x, y, z;
  bool inside;
};

__device__ inline GridPixel pixel_of(const TensorView& grid, int tiles_across) {
  const auto height = static_cast<unsigned>(grid.sizes[3]);
  const auto x = static_cast<int>(blockIdx.x % tiles_across * kVolumeBlockX + threadIdx.x);
  const unsigned row = blockIdx.x / tiles_across * kVolumeBlockY + threadIdx.y;
  return {x, static_cast<int>(row % height), static_cast<int>(row / height),
          x < grid.sizes[4] && row < static_cast<unsigned>(grid.sizes[2]) * height};
}

/// Offset of a pixel in a view [N, C, D, H, W], in elements.
__device__ inline std::int64_t offset_in(const TensorView& view, std::int64_t image,
                                         const GridPixel& at) {
  return image * view.strides[0] + at.z * view.strides[2] + at.y * view.strides[3] +
         at.x * view.strides[4];
}

/// Blocks for every pixel of `out`, and along y for `tasks` per pixel.
inline Grid volume_grid(const TensorView& out, std::int64_t tasks, std::int64_t across) noexcept {
  Grid grid;
  grid.threads = dim3(kVolumeBlockX, kVolumeBlockY);
  // A volume spans less than 2^31 elements, so one axis is enough for its tiles.
  grid.blocks =
      dim3(static_cast<unsigned>(across * ceil_div(out.sizes[2] * out.sizes[3], kVolumeBlockY)),
           grid_y(tasks));
  return grid;
}

}  // namespace cineflow
