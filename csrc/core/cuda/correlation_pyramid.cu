// RAFT's all-pairs correlation and the look-up in it on the GPU.
//
// A block of the volume multiplies 64 pixels of f1 with 8 x 8 pixels of f2. All pixels that these
// contribute to on further levels are means of the tile's own values, so they are pooled from
// shared memory and the volume is not read again.
#include "cineflow/correlation_pyramid.h"
#include "cuda/launch.h"
#include "cuda/shared_memory.h"
#include "math/dispatch.h"
#include "math/pool.h"
#include "math/window.h"

namespace cineflow {
namespace {

constexpr int kPatch = 8;               // pixels of f2 along a side of a tile
constexpr int kTile = kPatch * kPatch;  // pixels of f1, and of f2
constexpr int kOwn = 4;                 // of each, of one thread
constexpr int kAcross = kTile / kOwn;   // threads along a side of a tile
constexpr int kThreads = kAcross * kAcross;
constexpr int kChannels = 16;      // in shared memory at a time
constexpr int kPitch = kTile + 1;  // spreads the columns over the banks
static_assert(kPatch == 1 << (kMaxLevels - 1));

/// Floats of the values of a tile on all levels but the last, which is not pooled.
constexpr int kValues = (kTile + kTile / 4 + kTile / 16) * kPitch;

/// One channel of the pixel that a thread loads; 0 outside of the map.
template <typename T>
struct Loader {
  const T* pixel;
  std::int64_t stride;
  bool inside;

  __device__ float operator()(std::int64_t channel) const {
    return inside ? to_float(pixel[channel * stride]) : 0.0f;
  }
};

template <typename T>
__device__ Loader<T> loader_of(const TensorView& map, std::int64_t image, std::int64_t y,
                               std::int64_t x) {
  const bool inside = y < map.sizes[2] && x < map.sizes[3];
  const T* pixel = static_cast<const T*>(map.data) + image * map.strides[0];
  return {inside ? pixel + y * map.strides[2] + x * map.strides[3] : pixel, map.strides[1], inside};
}

template <typename T, typename Result>
__global__ void __launch_bounds__(kThreads)
    correlate_all_pairs(CorrelationPyramidArgs args, int patches_x, int patches) {
  const TensorView& f1 = args.f1;
  const TensorView& out = args.out;
  auto* tile1 = reinterpret_cast<float*>(shared_memory);  // [kChannels][kTile]
  float* tile2 = tile1 + kChannels * kTile;               // [kChannels][kTile]
  float* values = tile2 + kChannels * kTile;              // [levels][pixel of f2][kPitch]
  const auto thread = static_cast<int>(threadIdx.x);
  const int column = thread % kAcross * kOwn;
  const int row = thread / kAcross * kOwn;
  const auto patch = static_cast<int>(blockIdx.x % static_cast<unsigned>(patches));
  const std::int64_t first =
      static_cast<std::int64_t>(blockIdx.x / static_cast<unsigned>(patches)) * kTile;
  const std::int64_t patch_y = patch / patches_x * kPatch;
  const std::int64_t patch_x = patch % patches_x * kPatch;
  const std::int64_t height = f1.sizes[2];
  const std::int64_t width = f1.sizes[3];
  const int pixel = thread % kTile;  // of both tiles, that this thread loads

  for (std::int64_t image = blockIdx.y; image < f1.sizes[0]; image += gridDim.y) {
    const auto load1 = loader_of<T>(f1, image, (first + pixel) / width, (first + pixel) % width);
    const auto load2 =
        loader_of<T>(args.f2, image, patch_y + pixel / kPatch, patch_x + pixel % kPatch);
    float sums[kOwn][kOwn] = {};
    for (std::int64_t channel = 0; channel < f1.sizes[1]; channel += kChannels) {
      __syncthreads();  // other threads may still read the previous channels
      for (int at = thread / kTile; at < kChannels; at += kThreads / kTile) {
        const bool there = channel + at < f1.sizes[1];
        tile1[at * kTile + pixel] = there ? load1(channel + at) : 0.0f;
        tile2[at * kTile + pixel] = there ? load2(channel + at) : 0.0f;
      }
      __syncthreads();
#pragma unroll 4
      for (int at = 0; at < kChannels; ++at) {
        float own[kOwn];
        float others[kOwn];
#pragma unroll
        for (int lane = 0; lane < kOwn; ++lane) own[lane] = tile1[at * kTile + row + lane];
#pragma unroll
        for (int lane = 0; lane < kOwn; ++lane) others[lane] = tile2[at * kTile + column + lane];
#pragma unroll
        for (int i = 0; i < kOwn; ++i) {
#pragma unroll
          for (int j = 0; j < kOwn; ++j) sums[i][j] += own[i] * others[j];
        }
      }
    }
    __syncthreads();  // of the previous image
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
#pragma unroll
      for (int j = 0; j < kOwn; ++j) {
        values[(column + j) * kPitch + row + i] = args.scale * sums[i][j];
      }
    }

    float* level_values = values;
    std::int64_t start = 0;  // of the level in the pyramid
    for (int level = 0; level < args.levels; ++level) {
      __syncthreads();
      const int side = kPatch >> level;
      const std::int64_t level_height = height >> level;
      const std::int64_t level_width = width >> level;
      float* finer = level_values;
      if (level > 0) level_values += 4 * side * side * kPitch;
      for (int at = thread; at < side * side * kTile; at += kThreads) {
        const int own = at / (side * side);
        const int y = at % (side * side) / side;
        const int x = at % side;
        float value;
        if (level == 0) {
          value = level_values[(y * side + x) * kPitch + own];
        } else {
          const float* upper = finer + (2 * y * 2 * side + 2 * x) * kPitch + own;
          const float* lower = upper + 2 * side * kPitch;
          value = mean_of(upper[0], upper[kPitch], lower[0], lower[kPitch]);
          if (level + 1 < kMaxLevels) level_values[(y * side + x) * kPitch + own] = value;
        }
        const std::int64_t at_y = (patch_y >> level) + y;
        const std::int64_t at_x = (patch_x >> level) + x;
        const std::int64_t number = first + own;
        if (number >= height * width || at_y >= level_height || at_x >= level_width) continue;
        Result* to = static_cast<Result*>(out.data) + image * out.strides[0] +
                     number / width * out.strides[1] + number % width * out.strides[2];
        to[(start + at_y * level_width + at_x) * out.strides[3]] = from_float<Result>(value);
      }
      start += level_height * level_width;
    }
  }
}

constexpr int kLookupX = 32;  // pixels of a block of the look-up
constexpr int kLookupY = 8;   // columns of windows

/// One thread per pixel and column of a window of one level.
template <typename T, typename Result>
__global__ void __launch_bounds__(kLookupX* kLookupY)
    look_up(CorrelationLookupArgs args, int column_groups) {
  const TensorView& pyramid = args.pyramid;
  const TensorView& coords = args.coords;
  const TensorView& out = args.out;
  const int side = 2 * args.radius + 1;
  const auto groups = static_cast<unsigned>(column_groups);
  const auto number = static_cast<int>(blockIdx.x % groups * kLookupY + threadIdx.y);
  const std::int64_t pixel =
      static_cast<std::int64_t>(blockIdx.x / groups) * kLookupX + threadIdx.x;
  if (number >= args.levels * side || pixel >= out.sizes[2] * out.sizes[3]) return;
  const int level = number / side;
  const int column = number % side;
  const std::int64_t y = pixel / out.sizes[3];
  const std::int64_t x = pixel % out.sizes[3];
  std::int64_t start = 0;
  for (int before = 0; before < level; ++before) {
    start += (pyramid.sizes[1] >> before) * (pyramid.sizes[2] >> before);
  }
  const auto height = static_cast<std::int32_t>(pyramid.sizes[1] >> level);
  const auto width = static_cast<std::int32_t>(pyramid.sizes[2] >> level);

  for (std::int64_t image = blockIdx.y; image < out.sizes[0]; image += gridDim.y) {
    const float* at = static_cast<const float*>(coords.data) + image * coords.strides[0] +
                      y * coords.strides[2] + x * coords.strides[3];
    const WindowStart across = window_at(at[0] * level_scale(level), args.radius, width);
    const WindowStart down =
        window_at(at[coords.strides[1]] * level_scale(level), args.radius, height);
    const std::int32_t left = across.first + column;
    // A sample at -1 has no neighbour: pixel 0 is not read for it, not even with weight 0.
    const bool left_inside = left >= 0 && left < width;
    const bool right_inside = left + 1 >= (across.fraction == 0.0f ? 1 : 0) && left + 1 < width;
    const T* map = static_cast<const T*>(pyramid.data) + image * pyramid.strides[0] +
                   y * pyramid.strides[1] + x * pyramid.strides[2] + start * pyramid.strides[3];
    Result* to = static_cast<Result*>(out.data) + image * out.strides[0] +
                 (level * side + column) * side * out.strides[1] + y * out.strides[2] +
                 x * out.strides[3];
    float above = 0.0f;
    for (int row = 0; row <= side; ++row) {
      const std::int32_t line = down.first + row;
      float value = 0.0f;
      if (line >= 0 && line < height) {
        const T* from = map + (static_cast<std::int64_t>(line) * width + left) * pyramid.strides[3];
        const float low = left_inside ? to_float(from[0]) : 0.0f;
        const float high = right_inside ? to_float(from[pyramid.strides[3]]) : 0.0f;
        value = high * across.fraction + low * (1.0f - across.fraction);
      }
      if (row > 0) {
        const float below = line == 0 && down.fraction == 0.0f ? 0.0f : value;
        *to = from_float<Result>(below * down.fraction + above * (1.0f - down.fraction));
        to += out.strides[1];
      }
      above = value;
    }
  }
}

}  // namespace

Status correlation_pyramid_cuda(const CorrelationPyramidArgs& args, void* stream) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const std::int64_t patches_x = ceil_div(args.f1.sizes[3], kPatch);
  const std::int64_t patches = patches_x * ceil_div(args.f1.sizes[2], kPatch);
  const std::int64_t tiles = ceil_div(args.f1.sizes[2] * args.f1.sizes[3], kTile);
  Grid grid;
  grid.threads = dim3(kThreads);
  grid.blocks = dim3(static_cast<unsigned>(tiles * patches), grid_y(args.out.sizes[0]));
  grid.shared_bytes = (2 * kChannels * kTile + kValues) * sizeof(float);
  return with_float_storage(args.f1.dtype, [&](auto source) {
    return with_float_storage(args.out.dtype, [&](auto result) {
      using Source = typename decltype(source)::type;
      using Result = typename decltype(result)::type;
      return launch("correlation_pyramid", grid, args.out.device_index, stream,
                    correlate_all_pairs<Source, Result>, args, static_cast<int>(patches_x),
                    static_cast<int>(patches));
    });
  });
}

Status correlation_lookup_cuda(const CorrelationLookupArgs& args, void* stream) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const std::int64_t groups = ceil_div(args.levels * (2 * args.radius + 1), kLookupY);
  const std::int64_t pixels = args.out.sizes[2] * args.out.sizes[3];
  Grid grid;
  grid.threads = dim3(kLookupX, kLookupY);
  grid.blocks =
      dim3(static_cast<unsigned>(groups * ceil_div(pixels, kLookupX)), grid_y(args.out.sizes[0]));
  return with_float_storage(args.pyramid.dtype, [&](auto source) {
    return with_float_storage(args.out.dtype, [&](auto result) {
      using Source = typename decltype(source)::type;
      using Result = typename decltype(result)::type;
      return launch("correlation_lookup", grid, args.out.device_index, stream,
                    look_up<Source, Result>, args, static_cast<int>(groups));
    });
  });
}

}  // namespace cineflow
