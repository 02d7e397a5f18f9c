// Local correlation on the GPU.
//
// A block computes a tile of output pixels for some rows of displacements. For a few channels at a
// time it keeps the tile of f1, and the part of f2 that the displacements reach, in shared memory
// as f32. A thread holds the sums of 4 neighbouring pixels x kShifts horizontal displacements in
// registers.
//
// Dilation costs nothing: pixels are only correlated with pixels whose coordinates are equal modulo
// the dilation. Each such class of pixels is handled as an image with displacements of one pixel.
#include "cineflow/correlation.h"
#include "cuda/corners.h"
#include "cuda/correlation_tiles.h"
#include "cuda/launch.h"
#include "cuda/pack.h"
#include "cuda/shared_memory.h"
#include "cuda/volumes.h"
#include "math/dispatch.h"

namespace cineflow {
namespace {

constexpr int kPixels = 4;        // of one thread, along x
constexpr int kTileX = 32;        // pixels of a tile along x
constexpr int kMaxTileY = 7;      // along y; with 8 rows a thread would have too few registers
constexpr int kMaxShiftRows = 9;  // vertical displacements of one block
constexpr int kMaxShifts = 9;     // horizontal displacements of one thread
constexpr int kChannels = 8;      // in shared memory at a time
constexpr int kMaxThreads = kTileX / kPixels * kMaxTileY * kMaxShiftRows;

/// Columns of f2 that a tile of kTileX pixels reads, in whole packs.
template <int kShifts>
constexpr int kWide = (kTileX + kShifts - 1 + kPixels - 1) / kPixels * kPixels;

/// How a launch is divided. The block size gives the rest: blockDim.y rows of pixels and blockDim.z
/// rows of displacements.
struct Partition {
  int tiles_x, tiles_y;    // of one class of pixels
  int shift_rows;          // vertical displacements of one block, equal to blockDim.z
  int groups_x, groups_y;  // groups of displacements
  bool packed;             // 4 neighbouring pixels of out are one store
};

/// What a block works on.
struct BlockTask {
  int class_x, class_y;  // of pixels, below the dilation
  int x, y;              // first pixel, in the class's own coordinates
  int shift_x, shift_y;  // first displacement, in steps of the dilation
};

__device__ inline BlockTask task_of(unsigned block, const Partition& parts,
                                    const CorrelationArgs& args) {
  const auto take = [&block](int count) {
    const auto digit = static_cast<int>(block % static_cast<unsigned>(count));
    block /= static_cast<unsigned>(count);
    return digit;
  };
  BlockTask task;
  task.x = take(parts.tiles_x) * kTileX;
  task.y = take(parts.tiles_y) * static_cast<int>(blockDim.y);
  task.shift_x = take(parts.groups_x);
  task.shift_y = take(parts.groups_y) * parts.shift_rows - args.radius;
  task.class_x = take(args.dilation);
  task.class_y = take(args.dilation);
  return task;
}

__device__ inline bool is_inside(const TensorView& view, int y, int x) {
  return y >= 0 && y < view.sizes[2] && x >= 0 && x < view.sizes[3];
}

/// Loads kChannels channels of one pixel to floats `step` apart; 0 outside and after the last
/// channel.
template <typename T>
__device__ void load_pixel(const TensorView& map, const T* first, int channels, int y, int x,
                           float* to, int step) {
  const bool inside = is_inside(map, y, x);
  const T* from = first + (inside ? y * map.strides[2] + x * map.strides[3] : 0);
#pragma unroll
  for (int channel = 0; channel < kChannels; ++channel) {
    const bool there = inside && channel < channels;
    to[channel * step] = there ? to_float(from[channel * map.strides[1]]) : 0.0f;
  }
}

/// Where a pixel of the warped f2 is sampled: offsets from the start of a plane, kOutside for a
/// neighbour that is not read, and weights.
struct alignas(16) WarpedPixel {
  std::int32_t offset[4];
  float weight[4];
};
constexpr std::int32_t kOutside = INT32_MIN;  // Rules::plane allows no such offset

__device__ inline WarpedPixel locate_warped(const CorrelationArgs& args, const float* flow, int y,
                                            int x) {
  const TensorView& map = args.f2;
  Corners corners{};
  if (is_inside(map, y, x)) {
    const float* shift = flow + y * args.flow.strides[2] + x * args.flow.strides[3];
    const auto column = tap_at(static_cast<float>(x) + shift[0],
                               static_cast<std::int32_t>(map.sizes[3]), args.border);
    const auto row = tap_at(static_cast<float>(y) + shift[args.flow.strides[1]],
                            static_cast<std::int32_t>(map.sizes[2]), args.border);
    corners = corners_of(row, column, static_cast<std::int32_t>(map.strides[2]),
                         static_cast<std::int32_t>(map.strides[3]));
  }
  WarpedPixel pixel;
#pragma unroll
  for (int corner = 0; corner < 4; ++corner) {
    pixel.offset[corner] = corners.inside[corner] ? corners.offset[corner] : kOutside;
    pixel.weight[corner] = corners.weight[corner];
  }
  return pixel;
}

/// As load_pixel, for f2 warped by the flow. All loads come before the first store.
template <typename T>
__device__ void load_warped_pixel(const TensorView& map, const WarpedPixel& pixel, const T* first,
                                  int channels, float* to, int step) {
  float values[kChannels];
#pragma unroll
  for (int channel = 0; channel < kChannels; ++channel) {
    const T* plane = first + channel * map.strides[1];
    float sum = 0.0f;
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
      const bool read = channel < channels && pixel.offset[corner] != kOutside;
      sum += pixel.weight[corner] * (read ? to_float(plane[pixel.offset[corner]]) : 0.0f);
    }
    values[channel] = sum;
  }
#pragma unroll
  for (int channel = 0; channel < kChannels; ++channel) to[channel * step] = values[channel];
}

/// sums[i][j] += f1 of pixel i * f2 of pixel i + j, for one channel.
template <int kShifts>
__device__ void accumulate(const float* pixels, const float* neighbours,
                           float (&sums)[kPixels][kShifts]) {
  constexpr int kReach = kWide<kShifts> - kTileX + kPixels;
  const auto own = load_pack<float, kPixels>(pixels);
  float others[kReach];
#pragma unroll
  for (int start = 0; start < kReach; start += kPixels) {
    const auto pack = load_pack<float, kPixels>(neighbours + start);
#pragma unroll
    for (int lane = 0; lane < kPixels; ++lane) others[start + lane] = pack.lane[lane];
  }
#pragma unroll
  for (int pixel = 0; pixel < kPixels; ++pixel) {
#pragma unroll
    for (int shift = 0; shift < kShifts; ++shift) {
      sums[pixel][shift] += own.lane[pixel] * others[pixel + shift];
    }
  }
}

template <typename Result, int kShifts>
__device__ void store_sums(const CorrelationArgs& args, const Partition& parts,
                           const BlockTask& task, std::int64_t image,
                           const float (&sums)[kPixels][kShifts]) {
  const TensorView& out = args.out;
  const int side = 2 * args.radius + 1;
  const int row = task.shift_y + args.radius + static_cast<int>(threadIdx.z);
  const int y = task.class_y + (task.y + static_cast<int>(threadIdx.y)) * args.dilation;
  const int x = task.class_x + (task.x + static_cast<int>(threadIdx.x) * kPixels) * args.dilation;
  if (row >= side || y >= out.sizes[2]) return;
  Result* plane = static_cast<Result*>(out.data) + image * out.strides[0] + y * out.strides[2];
#pragma unroll
  for (int shift = 0; shift < kShifts; ++shift) {
    const int column = task.shift_x * kShifts + shift;
    if (column >= side) continue;
    const int k = args.x_major ? column * side + row : row * side + column;
    Result* to = plane + k * out.strides[1];
    float values[kPixels];
#pragma unroll
    for (int pixel = 0; pixel < kPixels; ++pixel) values[pixel] = args.scale * sums[pixel][shift];
    if (parts.packed) {
      if (x < out.sizes[3]) store_pack<Result, kPixels>(to + x, values);
      continue;
    }
#pragma unroll
    for (int pixel = 0; pixel < kPixels; ++pixel) {
      const int at = x + pixel * args.dilation;
      if (at < out.sizes[3]) to[at * out.strides[3]] = from_float<Result>(values[pixel]);
    }
  }
}

/// kWarps: f2 is warped by the flow. Its samples are located once per block and image, and kept in
/// shared memory for all channels.
template <typename T, int kShifts, bool kWarps>
__global__ void __launch_bounds__(kMaxThreads, 1) correlate(CorrelationArgs args, Partition parts) {
  const TensorView& f1 = args.f1;
  const TensorView& f2 = args.f2;
  const int pixels = kTileX * static_cast<int>(blockDim.y);
  const int neighbours = kWide<kShifts> * static_cast<int>(blockDim.y + blockDim.z - 1);
  float* tile1 = reinterpret_cast<float*>(shared_memory);  // [kChannels][row][kTileX]
  float* tile2 = tile1 + kChannels * pixels;               // [kChannels][row][kWide]
  auto* warped = reinterpret_cast<WarpedPixel*>(tile2 + kChannels * neighbours);  // [row][kWide]
  const auto thread =
      static_cast<int>(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
  const auto threads = static_cast<int>(blockDim.x * blockDim.y * blockDim.z);

  const BlockTask task = task_of(blockIdx.x, parts, args);
  const int first_x = task.x + task.shift_x * kShifts - args.radius;
  const int first_y = task.y + task.shift_y;
  const float* own = tile1 + threadIdx.y * kTileX + threadIdx.x * kPixels;
  const float* others =
      tile2 + (threadIdx.y + threadIdx.z) * kWide<kShifts> + threadIdx.x * kPixels;

  for (std::int64_t image = blockIdx.y; image < f1.sizes[0]; image += gridDim.y) {
    if constexpr (kWarps) {
      // Each thread reads back what it wrote, so no barrier is needed.
      const float* flow = static_cast<const float*>(args.flow.data) + image * args.flow.strides[0];
      for (int at = thread; at < neighbours; at += threads) {
        warped[at] =
            locate_warped(args, flow, task.class_y + (first_y + at / kWide<kShifts>)*args.dilation,
                          task.class_x + (first_x + at % kWide<kShifts>)*args.dilation);
      }
    }
    float sums[kPixels][kShifts] = {};
    for (std::int64_t channel = 0; channel < f1.sizes[1]; channel += kChannels) {
      const std::int64_t rest = f1.sizes[1] - channel;
      const int channels = rest < kChannels ? static_cast<int>(rest) : kChannels;
      const T* map1 =
          static_cast<const T*>(f1.data) + image * f1.strides[0] + channel * f1.strides[1];
      const T* map2 =
          static_cast<const T*>(f2.data) + image * f2.strides[0] + channel * f2.strides[1];
      __syncthreads();  // other threads may still read the previous channels
      for (int at = thread; at < pixels; at += threads) {
        load_pixel(f1, map1, channels, task.class_y + (task.y + at / kTileX) * args.dilation,
                   task.class_x + (task.x + at % kTileX) * args.dilation, tile1 + at, pixels);
      }
      for (int at = thread; at < neighbours; at += threads) {
        if constexpr (kWarps) {
          load_warped_pixel(f2, warped[at], map2, channels, tile2 + at, neighbours);
        } else {
          load_pixel(
              f2, map2, channels, task.class_y + (first_y + at / kWide<kShifts>)*args.dilation,
              task.class_x + (first_x + at % kWide<kShifts>)*args.dilation, tile2 + at, neighbours);
        }
      }
      __syncthreads();
#pragma unroll 2
      for (int step = 0; step < kChannels; ++step) {
        accumulate(own + step * pixels, others + step * neighbours, sums);
      }
    }
    switch (args.out.dtype) {
      case DType::kF16:
        store_sums<Half>(args, parts, task, image, sums);
        break;
      case DType::kBF16:
        store_sums<BFloat16>(args, parts, task, image, sums);
        break;
      default:
        store_sums<float>(args, parts, task, image, sums);
    }
  }
}

template <typename T, int kShifts, bool kWarps>
Status launch_correlate(const CorrelationArgs& args, void* stream) noexcept {
  const TensorView& out = args.out;
  const int side = 2 * args.radius + 1;
  const std::int64_t classes = std::int64_t{args.dilation} * args.dilation;
  Partition parts{};
  parts.tiles_x = static_cast<int>(ceil_div(ceil_div(out.sizes[3], args.dilation), kTileX));
  parts.groups_x = static_cast<int>(ceil_div(side, kShifts));
  parts.packed = args.dilation == 1 && is_packed(out, 3, kPixels);

  // Large tiles read f2 least often. Small tiles spread a small image over more multiprocessors.
  constexpr int kSizes[][2] = {{kMaxTileY, kMaxShiftRows}, {4, kMaxShiftRows}, {4, 3}};
  int tile_y = 0;
  std::int64_t blocks = 0;
  for (const auto& size : kSizes) {
    tile_y = size[0];
    parts.tiles_y = static_cast<int>(ceil_div(ceil_div(out.sizes[2], args.dilation), tile_y));
    parts.groups_y = static_cast<int>(ceil_div(side, size[1]));
    parts.shift_rows = static_cast<int>(ceil_div(side, parts.groups_y));
    blocks =
        std::int64_t{parts.tiles_x} * parts.tiles_y * parts.groups_x * parts.groups_y * classes;
    if (blocks * out.sizes[0] >= multiprocessors(out.device_index)) break;
  }
  if (blocks > INT32_MAX) {
    return failure(Status::Code::kArgument, "a correlation of fewer than 2147483648 tiles", "%lld",
                   static_cast<long long>(blocks));
  }
  const int neighbours = kWide<kShifts> * (tile_y + parts.shift_rows - 1);
  Grid grid;
  grid.threads = dim3(kTileX / kPixels, static_cast<unsigned>(tile_y),
                      static_cast<unsigned>(parts.shift_rows));
  grid.blocks = dim3(static_cast<unsigned>(blocks), grid_y(out.sizes[0]));
  grid.shared_bytes = sizeof(float) * kChannels * (kTileX * tile_y + neighbours);
  if (kWarps) grid.shared_bytes += sizeof(WarpedPixel) * neighbours;
  return launch("correlation", grid, args.out.device_index, stream, correlate<T, kShifts, kWarps>,
                args, parts);
}

/// The narrowest register block that does not need more blocks than the widest.
template <typename T, bool kWarps>
Status launch_shifts(const CorrelationArgs& args, void* stream) noexcept {
  const std::int64_t side = 2 * args.radius + 1;
  const std::int64_t shifts = ceil_div(side, ceil_div(side, kMaxShifts));
  if (shifts > 7) return launch_correlate<T, 9, kWarps>(args, stream);
  if (shifts > 5) return launch_correlate<T, 7, kWarps>(args, stream);
  if (shifts > 3) return launch_correlate<T, 5, kWarps>(args, stream);
  return launch_correlate<T, 3, kWarps>(args, stream);
}

}  // namespace

Status correlation_cuda(const CorrelationArgs& args, void* stream) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  if (args.f1.rank == kVolumeRank) return correlation_volume_cuda(args, stream);
  if (args.f1.dtype == DType::kF32 && args.out.dtype == DType::kF32 && fits_tiles(args)) {
    return correlation_tiles_cuda(args, stream);
  }
  if (fits_tensor_cores(args)) return correlation_tensor_cuda(args, stream);
  return with_float_storage(args.f1.dtype, [&](auto storage) {
    using T = typename decltype(storage)::type;
    return args.warps() ? launch_shifts<T, true>(args, stream)
                        : launch_shifts<T, false>(args, stream);
  });
}

}  // namespace cineflow
