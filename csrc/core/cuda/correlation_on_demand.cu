// RAFT's look-up without the volume on the GPU: a block per pixel and level. Its threads compute
// the dot products of the window into shared memory, and then the samples.
#include <algorithm>

#include "cineflow/correlation_on_demand.h"
#include "cuda/launch.h"
#include "cuda/shared_memory.h"
#include "math/dispatch.h"
#include "math/pool.h"
#include "math/window.h"

namespace cineflow {
namespace {

constexpr int kThreads = 128;   // of a block, at most
constexpr int kChannels = 256;  // of f1 in shared memory at a time
constexpr int kMostColumns = 2 * kMaxLookupRadius + 2;

template <typename T, typename Result>
__global__ void __launch_bounds__(kThreads) correlate_window(CorrelationOnDemandArgs args) {
  const TensorView& f1 = args.f1;
  const TensorView& features = args.features;
  const TensorView& coords = args.coords;
  const TensorView& out = args.out;
  auto* own = reinterpret_cast<float*>(shared_memory);  // [kChannels]
  float* dots = own + kChannels;                        // [side + 1][side + 1]
  const auto thread = static_cast<int>(threadIdx.x);
  const auto threads = static_cast<int>(blockDim.x);
  const auto levels = static_cast<unsigned>(args.levels);
  const auto level = static_cast<int>(blockIdx.x % levels);
  // All 32 bits: the grid has fewer than 2^31 blocks, and a division of 64 bits is a call that
  // spills.
  const unsigned pixel = blockIdx.x / levels;
  const std::int64_t y = pixel / static_cast<unsigned>(f1.sizes[3]);
  const std::int64_t x = pixel % static_cast<unsigned>(f1.sizes[3]);
  const auto height = static_cast<std::int32_t>(f1.sizes[2] >> level);
  const auto width = static_cast<std::int32_t>(f1.sizes[3] >> level);
  const int side = 2 * args.radius + 1;
  const int columns = side + 1;
  std::int64_t top = 0;  // of the level
  for (int before = 0; before < level; ++before) top += f1.sizes[2] >> before;

  for (std::int64_t image = blockIdx.y; image < out.sizes[0]; image += gridDim.y) {
    const float* at = static_cast<const float*>(coords.data) + image * coords.strides[0] +
                      y * coords.strides[2] + x * coords.strides[3];
    const WindowStart across = window_at(at[0] * level_scale(level), args.radius, width);
    const WindowStart down =
        window_at(at[coords.strides[1]] * level_scale(level), args.radius, height);
    const T* first = static_cast<const T*>(f1.data) + image * f1.strides[0] + y * f1.strides[2] +
                     x * f1.strides[3];
    const T* second = static_cast<const T*>(features.data) + image * features.strides[0] +
                      top * features.strides[2];
    __syncthreads();  // other threads may still read the previous image's
    for (int dot = thread; dot < columns * columns; dot += threads) dots[dot] = 0.0f;
    for (std::int64_t channel = 0; channel < f1.sizes[1]; channel += kChannels) {
      const std::int64_t left = f1.sizes[1] - channel;
      const int count = left < kChannels ? static_cast<int>(left) : kChannels;
      __syncthreads();
      for (int lane = thread; lane < count; lane += threads) {
        own[lane] = to_float(first[(channel + lane) * f1.strides[1]]);
      }
      __syncthreads();
      for (int dot = thread; dot < columns * columns; dot += threads) {
        const std::int32_t row = down.first + dot / columns;
        const std::int32_t column = across.first + dot % columns;
        if (row < 0 || row >= height || column < 0 || column >= width) continue;
        const T* from = second + row * features.strides[2] + column * features.strides[3] +
                        channel * features.strides[1];
        float sum = dots[dot];
#pragma unroll 4
        for (int lane = 0; lane < count; ++lane) {
          sum += own[lane] * to_float(from[lane * features.strides[1]]);
        }
        dots[dot] = sum;
      }
    }
    __syncthreads();

    Result* to = static_cast<Result*>(out.data) + image * out.strides[0] +
                 level * side * side * out.strides[1] + y * out.strides[2] + x * out.strides[3];
    for (int sample = thread; sample < side * side; sample += threads) {
      const int column = sample / side;  // the x displacement counts slowest
      const int row = sample % side;
      const float* upper = dots + row * columns + column;
      const float* lower = upper + columns;
      // A sample at -1 has no neighbour: pixel 0 is not read for it, not even with weight 0.
      const bool right = !(across.fraction == 0.0f && across.first + column == -1);
      const bool below = !(down.fraction == 0.0f && down.first + row == -1);
      const float right_weight = across.fraction;
      const float left_weight = 1.0f - across.fraction;
      const float high = (right ? upper[1] : 0.0f) * right_weight + upper[0] * left_weight;
      const float low = (right ? lower[1] : 0.0f) * right_weight + lower[0] * left_weight;
      const float value = (below ? low : 0.0f) * down.fraction + high * (1.0f - down.fraction);
      to[sample * out.strides[1]] = from_float<Result>(args.scale * value);
    }
  }
}

constexpr int kPoolThreads = 256;

/// One thread per pixel of a plane of the result.
template <typename T, typename Result>
__global__ void __launch_bounds__(kPoolThreads) pool_features(FeaturePyramidArgs args) {
  const TensorView& f2 = args.f2;
  const TensorView& out = args.out;
  const std::int64_t pixel = static_cast<std::int64_t>(blockIdx.x) * kPoolThreads + threadIdx.x;
  if (pixel >= out.sizes[2] * out.sizes[3]) return;
  const std::int64_t row = pixel / out.sizes[3];
  const std::int64_t x = pixel % out.sizes[3];
  std::int64_t y = row;
  int level = 0;
  while (y >= f2.sizes[2] >> level) y -= f2.sizes[2] >> level++;
  const bool inside = x < f2.sizes[3] >> level;

  for (std::int64_t plane = blockIdx.y; plane < out.sizes[0] * out.sizes[1]; plane += gridDim.y) {
    const std::int64_t image = plane / out.sizes[1];
    const std::int64_t channel = plane % out.sizes[1];
    const T* from =
        static_cast<const T*>(f2.data) + image * f2.strides[0] + channel * f2.strides[1];
    const auto load = [&](std::int64_t at_y, std::int64_t at_x) {
      return to_float(from[at_y * f2.strides[2] + at_x * f2.strides[3]]);
    };
    Result* to = static_cast<Result*>(out.data) + image * out.strides[0] +
                 channel * out.strides[1] + row * out.strides[2] + x * out.strides[3];
    *to = from_float<Result>(inside ? pooled(load, level, y, x) : 0.0f);
  }
}

}  // namespace

Status correlation_on_demand_cuda(const CorrelationOnDemandArgs& args, void* stream) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const std::int64_t blocks = args.out.sizes[2] * args.out.sizes[3] * args.levels;
  if (blocks > INT32_MAX) {
    return failure(Status::Code::kArgument, "fewer than 2147483648 pixels times levels", "%lld",
                   static_cast<long long>(blocks));
  }
  Grid grid;
  const int columns = 2 * args.radius + 2;
  const std::int64_t warps = ceil_div(columns * columns, 32);  // a thread per dot product
  grid.threads = dim3(std::min(kThreads, static_cast<int>(32 * warps)));
  grid.blocks = dim3(static_cast<unsigned>(blocks), grid_y(args.out.sizes[0]));
  grid.shared_bytes = (kChannels + kMostColumns * kMostColumns) * sizeof(float);
  return with_float_storage(args.f1.dtype, [&](auto source) {
    return with_float_storage(args.out.dtype, [&](auto result) {
      using Source = typename decltype(source)::type;
      using Result = typename decltype(result)::type;
      return launch("correlation_on_demand", grid, args.out.device_index, stream,
                    correlate_window<Source, Result>, args);
    });
  });
}

Status feature_pyramid_cuda(const FeaturePyramidArgs& args, void* stream) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  Grid grid;
  grid.threads = dim3(kPoolThreads);
  grid.blocks =
      dim3(static_cast<unsigned>(ceil_div(args.out.sizes[2] * args.out.sizes[3], kPoolThreads)),
           grid_y(args.out.sizes[0] * args.out.sizes[1]));
  return with_float_storage(args.f2.dtype, [&](auto source) {
    return with_float_storage(args.out.dtype, [&](auto result) {
      using Source = typename decltype(source)::type;
      using Result = typename decltype(result)::type;
      return launch("feature_pyramid", grid, args.out.device_index, stream,
                    pool_features<Source, Result>, args);
    });
  });
}

}  // namespace cineflow
