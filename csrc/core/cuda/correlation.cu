// Local correlation on the GPU.
//
// Up to radius 4 without dilation: a block owns 32 x 4 pixels and all displacements of one image.
// Chunks of channels of f1 and of f2 with its halo pass through shared memory, masked (and warped)
// as they are loaded, so that there are no kernels that pad, transpose or warp. A thread owns one
// dy, 4 pixels and all dx: 36 multiply-adds for 4 128-bit loads. Larger windows: one thread per
// output element.
#include "cineflow/correlation.h"
#include "cuda/dispatch.h"
#include "cuda/launch.h"
#include "cuda/sample_pixel.h"

namespace cineflow {
namespace {

constexpr int kTileX = 32;
constexpr int kTileY = 4;
constexpr int kPixels = 4;    // per thread, along x
constexpr int kChannels = 8;  // per chunk
constexpr int kThreadsX = kTileX / kPixels;
constexpr int kTiledRadius = 4;
constexpr int kQuads = (kTileX + 2 * kTiledRadius) / 4;  // of a row of f2 with its halo

template <int kRadius>
constexpr int kTiledThreads = kThreadsX * kTileY * (2 * kRadius + 1);

struct alignas(16) Quad {
  float values[4];
};

/// f2 at (row, column), warped where there is a flow; 0 outside the image.
template <typename Stored>
struct Neighbour {
  const CorrelationArgs& args;
  std::int64_t image;
  Taps taps;
  std::int64_t offset;  // of the pixel in its plane, where nothing warps
  bool inside;

  __device__ Neighbour(const CorrelationArgs& arguments, std::int64_t which, int row, int column)
      : args(arguments), image(which) {
    const TensorView& f2 = args.f2;
    inside = row >= 0 && row < f2.sizes[2] && column >= 0 && column < f2.sizes[3];
    offset = inside ? row * f2.strides[2] + column * f2.strides[3] : 0;
    if (!inside || args.flow.rank == 0) return;
    const TensorView& flow = args.flow;
    const float* shift = static_cast<const float*>(flow.data) + image * flow.strides[0] +
                         row * flow.strides[2] + column * flow.strides[3];
    taps = taps_at(f2, static_cast<float>(column) + shift[0],
                   static_cast<float>(row) + shift[flow.strides[1]], args.border, false);
  }

  __device__ float operator()(std::int64_t channel) const {
    if (!inside || channel >= args.f2.sizes[1]) return 0.0f;
    const TensorView& f2 = args.f2;
    const Stored* plane =
        static_cast<const Stored*>(f2.data) + image * f2.strides[0] + channel * f2.strides[1];
    if (args.flow.rank == 0) return to_float(plane[offset]);
    return sample(taps.row, taps.column, [&](std::int32_t row, std::int32_t column) {
      return to_float(plane[row * f2.strides[2] + column * f2.strides[3]]);
    });
  }
};

__device__ inline std::int64_t output_channel(const CorrelationArgs& args, int dy, int dx) {
  const int side = 2 * args.radius + 1;
  return args.x_major ? dx * side + dy : dy * side + dx;
}

template <typename Stored, typename Result, int kRadius>
__global__ void __launch_bounds__(kTiledThreads<kRadius>) tiled_kernel(CorrelationArgs args) {
  constexpr int kSide = 2 * kRadius + 1;
  constexpr int kThreads = kTiledThreads<kRadius>;
  constexpr int kRows = kTileY + 2 * kRadius;
  __shared__ Quad f1_tile[kChannels][kTileY][kTileX / 4];
  __shared__ Quad f2_tile[kChannels][kRows][kQuads];
  const TensorView& f1 = args.f1;
  const int thread = (threadIdx.z * kTileY + threadIdx.y) * kThreadsX + threadIdx.x;
  const int left = blockIdx.x * kTileX;
  const int top = blockIdx.y * kTileY;

  for (std::int64_t image = blockIdx.z; image < f1.sizes[0]; image += gridDim.z) {
    float sums[kPixels][kSide] = {};
    for (std::int64_t first = 0; first < f1.sizes[1]; first += kChannels) {
      __syncthreads();  // the chunk before has been read
      for (int index = thread; index < kTileY * kTileX; index += kThreads) {
        const int row = index / kTileX;
        const int column = index % kTileX;
        const bool inside = top + row < f1.sizes[2] && left + column < f1.sizes[3];
        const Stored* pixel = static_cast<const Stored*>(f1.data) + image * f1.strides[0] +
                              (top + row) * f1.strides[2] + (left + column) * f1.strides[3];
        for (int channel = 0; channel < kChannels; ++channel) {
          f1_tile[channel][row][column / 4].values[column % 4] =
              inside && first + channel < f1.sizes[1]
                  ? to_float(pixel[(first + channel) * f1.strides[1]])
                  : 0.0f;
        }
      }
      for (int index = thread; index < kRows * kQuads * 4; index += kThreads) {
        const int row = index / (kQuads * 4);
        const int column = index % (kQuads * 4);
        const Neighbour<Stored> neighbour(args, image, top + row - kRadius,
                                          left + column - kRadius);
        for (int channel = 0; channel < kChannels; ++channel) {
          f2_tile[channel][row][column / 4].values[column % 4] = neighbour(first + channel);
        }
      }
      __syncthreads();
#pragma unroll 2
      for (int channel = 0; channel < kChannels; ++channel) {
        const Quad first_quad = f1_tile[channel][threadIdx.y][threadIdx.x];
        Quad row[3];
#pragma unroll
        for (int quad = 0; quad < 3; ++quad) {
          row[quad] = f2_tile[channel][threadIdx.y + threadIdx.z][threadIdx.x + quad];
        }
#pragma unroll
        for (int pixel = 0; pixel < kPixels; ++pixel) {
#pragma unroll
          for (int shift = 0; shift < kSide; ++shift) {
            sums[pixel][shift] +=
                first_quad.values[pixel] * row[(pixel + shift) / 4].values[(pixel + shift) % 4];
          }
        }
      }
    }
    const int y = top + threadIdx.y;
    if (y >= f1.sizes[2]) continue;
#pragma unroll
    for (int shift = 0; shift < kSide; ++shift) {
      const std::int64_t channel = output_channel(args, threadIdx.z, shift);
#pragma unroll
      for (int pixel = 0; pixel < kPixels; ++pixel) {
        const int x = left + threadIdx.x * kPixels + pixel;
        if (x < f1.sizes[3]) {
          store_pixel<Result>(args.out, image, channel, y, x, args.scale * sums[pixel][shift]);
        }
      }
    }
  }
}

template <typename Stored, typename Result>
__global__ void __launch_bounds__(kBlockX* kBlockY)
    any_radius_kernel(CorrelationArgs args, std::int64_t tasks) {
  const TensorView& f1 = args.f1;
  const int x = blockIdx.x * kBlockX + threadIdx.x;
  const int y = blockIdx.y * kBlockY + threadIdx.y;
  if (x >= f1.sizes[3] || y >= f1.sizes[2]) return;
  const int side = 2 * args.radius + 1;
  for (std::int64_t task = blockIdx.z; task < tasks; task += gridDim.z) {
    const std::int64_t image = task / (side * side);
    const int dy = static_cast<int>(task / side % side);
    const int dx = static_cast<int>(task % side);
    const Neighbour<Stored> neighbour(args, image, y + (dy - args.radius) * args.dilation,
                                      x + (dx - args.radius) * args.dilation);
    const Stored* pixel = static_cast<const Stored*>(f1.data) + image * f1.strides[0] +
                          y * f1.strides[2] + x * f1.strides[3];
    float sum = 0.0f;
    for (std::int64_t channel = 0; channel < f1.sizes[1]; ++channel) {
      sum += to_float(pixel[channel * f1.strides[1]]) * neighbour(channel);
    }
    store_pixel<Result>(args.out, image, output_channel(args, dy, dx), y, x, args.scale * sum);
  }
}

template <typename Stored, typename Result, int kRadius>
Status launch_tiled(const CorrelationArgs& args, void* stream) {
  const std::int64_t images = args.f1.sizes[0];
  const dim3 grid(blocks_for(args.f1.sizes[3], kTileX), blocks_for(args.f1.sizes[2], kTileY),
                  static_cast<unsigned>(images < kMaxGridY ? images : kMaxGridY));
  return launch("correlation", Grid{grid, dim3(kThreadsX, kTileY, 2 * kRadius + 1)}, stream,
                &tiled_kernel<Stored, Result, kRadius>, args);
}

template <typename Stored, typename Result>
Status launch_for(const CorrelationArgs& args, void* stream) {
  if (args.dilation == 1) {
    switch (args.radius) {
      case 2:
        return launch_tiled<Stored, Result, 2>(args, stream);
      case 3:
        return launch_tiled<Stored, Result, 3>(args, stream);
      case 4:
        return launch_tiled<Stored, Result, 4>(args, stream);
      default:
        break;
    }
  }
  const std::int64_t side = 2 * args.radius + 1;
  const std::int64_t tasks = args.f1.sizes[0] * side * side;
  const dim3 grid(blocks_for(args.f1.sizes[3], kBlockX), blocks_for(args.f1.sizes[2], kBlockY),
                  static_cast<unsigned>(tasks < kMaxGridY ? tasks : kMaxGridY));
  return launch("correlation", Grid{grid, dim3(kBlockX, kBlockY)}, stream,
                &any_radius_kernel<Stored, Result>, args, tasks);
}

}  // namespace

Status correlation_cuda(const CorrelationArgs& args, void* stream) noexcept {
  Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  status = for_float(args.f1.dtype, [&](auto storage) {
    return for_float(args.out.dtype, [&](auto result) {
      return launch_for<typename decltype(storage)::Type, typename decltype(result)::Type>(args,
                                                                                           stream);
    });
  });
  return status;
}

}  // namespace cineflow
