#include <type_traits>

#include "cineflow/warp.h"
#include "cuda/corners.h"
#include "cuda/launch.h"
#include "cuda/pack.h"
#include "cuda/sample_planes.h"
#include "cuda/volumes.h"
#include "math/dispatch.h"

namespace cineflow {
namespace {

constexpr int kBlockX = 32;
constexpr int kBlockY = 8;
constexpr int kThreads = kBlockX * kBlockY;
constexpr int kMaxSlab = 8;      // channels of one thread, which share the corners of its pixel
constexpr int kAtOnce = 4;       // channels that are loaded together
constexpr int kLanesAtMost = 8;  // 8 x 16 bytes are one cache line

__device__ inline Corners corners_at(const WarpArgs& args, std::int64_t image, int y, int x) {
  const TensorView& src = args.src;
  const TensorView& flow = args.flow;
  const float* shift = static_cast<const float*>(flow.data) + image * flow.strides[0] +
                       y * flow.strides[2] + x * flow.strides[3];
  const auto column = tap_at(static_cast<float>(x) + shift[0],
                             static_cast<std::int32_t>(src.sizes[3]), args.border);
  const auto row = tap_at(static_cast<float>(y) + shift[flow.strides[1]],
                          static_cast<std::int32_t>(src.sizes[2]), args.border);
  return corners_of(row, column, static_cast<std::int32_t>(src.strides[2]),
                    static_cast<std::int32_t>(src.strides[3]));
}

/// For any strides: one thread per output pixel and slab of channels.
template <typename Source, typename Result>
__global__ void __launch_bounds__(kThreads)
    warp_planes(WarpArgs args, int tiles_across, int slab, std::int64_t slabs) {
  const TensorView& src = args.src;
  const TensorView& out = args.out;
  const int x = static_cast<int>(blockIdx.x % tiles_across * kBlockX + threadIdx.x);
  const int y = static_cast<int>(blockIdx.x / tiles_across * kBlockY + threadIdx.y);
  if (x >= out.sizes[3] || y >= out.sizes[2]) return;

  for (std::int64_t task = blockIdx.y; task < out.sizes[0] * slabs; task += gridDim.y) {
    const std::int64_t image = task / slabs;
    const std::int64_t first = task % slabs * slab;
    const Corners corners = corners_at(args, image, y, x);
    const Source* plane =
        static_cast<const Source*>(src.data) + image * src.strides[0] + first * src.strides[1];
    Result* result = static_cast<Result*>(out.data) + image * out.strides[0] +
                     first * out.strides[1] + y * out.strides[2] + x * out.strides[3];
    const std::int64_t left = src.sizes[1] - first;
    const int channels = left < slab ? static_cast<int>(left) : slab;
    sample_planes<kAtOnce>(plane, src.strides[1], result, out.strides[1], channels, corners,
                           [](float sample) { return from_float<Result>(sample); });
  }
}

/// For channels that are adjacent in memory: a row of threads per pixel, 16 bytes per load.
template <typename T>
__global__ void __launch_bounds__(kThreads) warp_vectors(WarpArgs args) {
  constexpr int kWidth = 16 / sizeof(T);
  const TensorView& src = args.src;
  const TensorView& out = args.out;
  const auto width = static_cast<std::uint32_t>(out.sizes[3]);
  const auto pixels = static_cast<std::uint32_t>(out.sizes[2]) * width;
  const std::uint32_t pixel = blockIdx.x * blockDim.y + threadIdx.y;
  if (pixel >= pixels) return;
  const int y = static_cast<int>(pixel / width);
  const int x = static_cast<int>(pixel % width);

  for (std::int64_t image = blockIdx.y; image < out.sizes[0]; image += gridDim.y) {
    const Corners corners = corners_at(args, image, y, x);
    const T* source = static_cast<const T*>(src.data) + image * src.strides[0];
    T* result = static_cast<T*>(out.data) + image * out.strides[0] + y * out.strides[2] +
                x * out.strides[3];
    for (std::int64_t channel = threadIdx.x * kWidth; channel < src.sizes[1];
         channel += blockDim.x * kWidth) {
      float sums[kWidth] = {};
#pragma unroll
      for (int corner = 0; corner < 4; ++corner) {
        if (!corners.inside[corner]) continue;
        const auto values = load_pack<T, kWidth>(source + corners.offset[corner] + channel);
#pragma unroll
        for (int lane = 0; lane < kWidth; ++lane) {
          sums[lane] += corners.weight[corner] * to_float(values.lane[lane]);
        }
      }
      store_pack<T, kWidth>(result + channel, sums);
    }
  }
}

template <typename Source, typename Result>
Status launch_planes(const WarpArgs& args, void* stream) noexcept {
  const TensorView& out = args.out;
  const std::int64_t across = ceil_div(out.sizes[3], kBlockX);
  // An output plane spans less than 2^31 elements, so one axis is enough for its tiles.
  const std::int64_t tiles = across * ceil_div(out.sizes[2], kBlockY);
  // Small maps get fewer channels per thread, so that every multiprocessor has a block.
  int slab = kMaxSlab;
  const auto blocks = [&] { return tiles * out.sizes[0] * ceil_div(out.sizes[1], slab); };
  while (slab > 1 && blocks() < multiprocessors(out.device_index)) slab /= 2;
  const std::int64_t slabs = ceil_div(out.sizes[1], slab);
  Grid grid;
  grid.threads = dim3(kBlockX, kBlockY);
  grid.blocks = dim3(static_cast<unsigned>(tiles), grid_y(out.sizes[0] * slabs));
  return launch("warp", grid, args.out.device_index, stream, warp_planes<Source, Result>, args,
                static_cast<int>(across), slab, slabs);
}

template <typename T>
Status launch_vectors(const WarpArgs& args, void* stream) noexcept {
  const std::int64_t vectors = args.out.sizes[1] * static_cast<std::int64_t>(sizeof(T)) / 16;
  unsigned lanes = 1;
  while (lanes < kLanesAtMost && lanes * 2 <= vectors) lanes *= 2;
  Grid grid;
  grid.threads = dim3(lanes, kThreads / lanes);
  grid.blocks =
      dim3(static_cast<unsigned>(ceil_div(args.out.sizes[2] * args.out.sizes[3], grid.threads.y)),
           grid_y(args.out.sizes[0]));
  return launch("warp", grid, args.out.device_index, stream, warp_vectors<T>, args);
}

}  // namespace

Status warp_cuda(const WarpArgs& args, void* stream) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  if (args.src.rank == kVolumeRank) return warp_volume_cuda(args, stream);
  const bool vectors = args.src.dtype == args.out.dtype && has_packed_channels(args.src) &&
                       has_packed_channels(args.out);
  return with_storage(args.src.dtype, [&](auto source) {
    return with_float_storage(args.out.dtype, [&](auto result) {
      using Source = typename decltype(source)::type;
      using Result = typename decltype(result)::type;
      if constexpr (std::is_same_v<Source, Result>) {
        if (vectors) return launch_vectors<Source>(args, stream);
      }
      return launch_planes<Source, Result>(args, stream);
    });
  });
}

}  // namespace cineflow
