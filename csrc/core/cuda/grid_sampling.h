// Samples images at positions that a map computes for each output pixel.
//
// Problem: polar resampling, its inverse and scan conversion differ only in their positions.
//
// Solution: one kernel that takes the positions from a map: `map(group, row, column)` is the Point
// of the source that an output pixel reads. A group is a frame, or all frames where they share it.
// The map's kWraps says that the row after the last is the first, its kGivesBytes that the result
// may be u8.
//
// Usage: launch_resample("polar_resample", sampling, shared, map, stream)
#pragma once

#include <cstdint>

#include "cineflow/border.h"
#include "cineflow/status.h"
#include "cineflow/tensor_view.h"
#include "cuda/corners.h"
#include "cuda/launch.h"
#include "cuda/sample_planes.h"
#include "math/dispatch.h"
#include "math/polar.h"

namespace cineflow {

/// Cartesian images are sampled into polar ones, or the other way round.
struct GridSampling {
  TensorView src;  // [N, C, rows, columns]
  TensorView out;  // [N, C, rows, columns]
  Border border;
  float scale, offset;
};

struct Point {
  float x, y;  // column and row of the source, in its pixels
};

/// The polar position of an offset from the centre of a grid.
struct PolarPositions {
  AngularGrid grid;
  float first_radius, samples_per_pixel;

  __device__ Point at(float x, float y) const {
    const float radius = sqrtf(x * x + y * y);
    return {(radius - first_radius) * samples_per_pixel, angular_sample(angle_of(x, y), grid)};
  }
};

constexpr int kResampleBlockX = 32;
constexpr int kResampleBlockY = 8;
constexpr int kResampleThreads = kResampleBlockX * kResampleBlockY;
constexpr int kResampleResident = 4;  // blocks of a multiprocessor; bounds the registers
constexpr int kWarpX = 8;  // a warp is 8 x 4 pixels, whose samples lie in fewer lines than 32 x 1
constexpr int kWarpY = 4;
constexpr int kResampleSlab = 8;    // planes of one thread: channels, or frames of one group
constexpr int kResampleAtOnce = 4;  // planes that are loaded together

template <bool kWraps>
__device__ Corners corners_at(const GridSampling& args, const Point& point) {
  const TensorView& src = args.src;
  const auto rows = static_cast<std::int32_t>(src.sizes[2]);
  const auto column = tap_at(point.x, static_cast<std::int32_t>(src.sizes[3]), args.border);
  // On an axis that is one pixel longer, the wrapped neighbour lies inside.
  const auto row =
      kWraps ? tap_at(point.y, rows + 1, Border::kZeros) : tap_at(point.y, rows, args.border);
  Corners corners = corners_of(row, column, static_cast<std::int32_t>(src.strides[2]),
                               static_cast<std::int32_t>(src.strides[3]));
  if (kWraps) {
    const auto turn = static_cast<std::uint32_t>(rows) * static_cast<std::uint32_t>(src.strides[2]);
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
      if (row.low + corner / 2 == rows) {
        corners.offset[corner] =
            static_cast<std::int32_t>(static_cast<std::uint32_t>(corners.offset[corner]) - turn);
      }
    }
  }
  return corners;
}

/// How the planes are divided: into groups that share their positions, whose planes are `src_step`
/// and `out_step` elements apart.
struct PlaneGroups {
  std::int64_t groups, planes;
  std::int64_t src_step, out_step;
};

/// One thread per output pixel and slab of planes.
template <typename Source, typename Result, typename Map>
__global__ void __launch_bounds__(kResampleThreads, kResampleResident)
    resample(GridSampling args, Map map, int tiles_across, PlaneGroups parts) {
  const TensorView& src = args.src;
  const TensorView& out = args.out;
  const auto lane = static_cast<int>(threadIdx.x % (kWarpX * kWarpY));
  const auto warp = static_cast<int>(threadIdx.x / (kWarpX * kWarpY));
  constexpr int kWarpsAcross = kResampleBlockX / kWarpX;
  const int x = static_cast<int>(blockIdx.x % tiles_across) * kResampleBlockX +
                warp % kWarpsAcross * kWarpX + lane % kWarpX;
  const int y = static_cast<int>(blockIdx.x / tiles_across) * kResampleBlockY +
                warp / kWarpsAcross * kWarpY + lane / kWarpX;
  if (x >= out.sizes[3] || y >= out.sizes[2]) return;

  const std::int64_t slabs = (parts.planes + kResampleSlab - 1) / kResampleSlab;
  for (std::int64_t task = blockIdx.y; task < parts.groups * slabs; task += gridDim.y) {
    const std::int64_t group = task / slabs;
    const std::int64_t first = task % slabs * kResampleSlab;
    const std::int64_t left = parts.planes - first;
    const int planes = left < kResampleSlab ? static_cast<int>(left) : kResampleSlab;
    const Source* from =
        static_cast<const Source*>(src.data) + group * src.strides[0] + first * parts.src_step;
    Result* to = static_cast<Result*>(out.data) + group * out.strides[0] + first * parts.out_step +
                 y * out.strides[2] + x * out.strides[3];
    const Corners corners = corners_at<Map::kWraps>(args, map(group, y, x));
    sample_planes<kResampleAtOnce>(
        from, parts.src_step, to, parts.out_step, planes, corners,
        [&args](float sample) { return from_float<Result>(args.scale * sample + args.offset); });
  }
}

/// Frames that share their positions are one group if all planes of both views have the same
/// distance. Otherwise each frame is a group, whose planes are its channels.
inline PlaneGroups plane_groups(const TensorView& src, const TensorView& out,
                                bool shared) noexcept {
  const std::int64_t channels = src.sizes[1];
  if (shared && channels == 1) return {1, src.sizes[0], src.strides[0], out.strides[0]};
  const bool even =
      src.strides[0] == channels * src.strides[1] && out.strides[0] == channels * out.strides[1];
  if (shared && even) return {1, src.sizes[0] * channels, src.strides[1], out.strides[1]};
  return {src.sizes[0], channels, src.strides[1], out.strides[1]};
}

/// `shared`: the map is the same for all frames.
template <typename Map>
Status launch_resample(const char* name, const GridSampling& args, bool shared, const Map& map,
                       void* stream) noexcept {
  const TensorView& out = args.out;
  const PlaneGroups parts = plane_groups(args.src, out, shared);
  const std::int64_t across = ceil_div(out.sizes[3], kResampleBlockX);
  Grid grid;
  grid.threads = dim3(kResampleThreads);
  grid.blocks = dim3(static_cast<unsigned>(across * ceil_div(out.sizes[2], kResampleBlockY)),
                     grid_y(parts.groups * ceil_div(parts.planes, kResampleSlab)));
  return with_storage(args.src.dtype, [&](auto source) {
    const auto run = [&](auto result) {
      using Source = typename decltype(source)::type;
      using Result = typename decltype(result)::type;
      return launch(name, grid, args.out.device_index, stream, resample<Source, Result, Map>, args,
                    map, static_cast<int>(across), parts);
    };
    if constexpr (Map::kGivesBytes) {
      return with_storage(out.dtype, run);
    } else {
      return with_float_storage(out.dtype, run);
    }
  });
}

}  // namespace cineflow
