// Local correlation of volumes on the GPU.
//
// A thread computes one output pixel for up to kShifts neighbouring displacements along x. It reads
// f2 where it lies: neighbouring threads read neighbouring pixels, which the L1 cache holds.
#include "cuda/launch.h"
#include "cuda/volume_corners.h"
#include "cuda/volumes.h"
#include "math/dispatch.h"

namespace cineflow {
namespace {

constexpr int kBlockX = 32;
constexpr int kBlockY = 4;
constexpr int kThreads = kBlockX * kBlockY;
constexpr int kShifts = 5;  // displacements along x of one thread

/// What the threads of a block work on: their displacements, in steps of the dilation.
struct ShiftTask {
  std::int64_t image;
  int z, y;     // -r .. r
  int first_x;  // -r .. r, of kShifts displacements
};

__device__ inline ShiftTask task_of(std::int64_t task, int side, int groups, int radius) {
  const auto group = static_cast<int>(task % groups);
  task /= groups;
  const auto row = static_cast<int>(task % side);
  task /= side;
  const auto slice = static_cast<int>(task % side);
  return {task / side, slice - radius, row - radius, group * kShifts - radius};
}

__device__ inline bool is_inside(const TensorView& volume, int z, int y, int x) {
  return z >= 0 && z < volume.sizes[2] && y >= 0 && y < volume.sizes[3] && x >= 0 &&
         x < volume.sizes[4];
}

__device__ inline std::int64_t offset_in(const TensorView& volume, int z, int y, int x) {
  return z * volume.strides[2] + y * volume.strides[3] + x * volume.strides[4];
}

/// Sums over channels of f1 at one pixel and f2 at kShifts others; 0 for pixels outside.
template <typename T>
__device__ void sums_of(const CorrelationArgs& args, const T* f1, const T* f2, int z, int y, int x,
                        float (&sums)[kShifts]) {
  std::int32_t offsets[kShifts];
  bool inside[kShifts];
#pragma unroll
  for (int shift = 0; shift < kShifts; ++shift) {
    const int column = x + shift * args.dilation;
    inside[shift] = is_inside(args.f2, z, y, column);
    offsets[shift] =
        inside[shift] ? static_cast<std::int32_t>(offset_in(args.f2, z, y, column)) : 0;
  }
  for (std::int64_t channel = 0; channel < args.f1.sizes[1]; ++channel) {
    const float own = to_float(*f1);
#pragma unroll
    for (int shift = 0; shift < kShifts; ++shift) {
      sums[shift] += own * (inside[shift] ? to_float(f2[offsets[shift]]) : 0.0f);
    }
    f1 += args.f1.strides[1];
    f2 += args.f2.strides[1];
  }
}

/// The same for f2 warped by the flow.
template <typename T>
__device__ void warped_sums_of(const CorrelationArgs& args, const float* flow, const T* f1,
                               const T* f2, int z, int y, int x, float (&sums)[kShifts]) {
#pragma unroll
  for (int shift = 0; shift < kShifts; ++shift) {
    const int column = x + shift * args.dilation;
    VolumeCorners corners{};
    if (is_inside(args.f2, z, y, column)) {
      const float* moved = flow + offset_in(args.flow, z, y, column);
      corners = corners_at(args.f2, args.border, static_cast<float>(column) + moved[0],
                           static_cast<float>(y) + moved[args.flow.strides[1]],
                           static_cast<float>(z) + moved[2 * args.flow.strides[1]]);
    }
    float sum = 0.0f;
    for (std::int64_t channel = 0; channel < args.f1.sizes[1]; ++channel) {
      sum += to_float(f1[channel * args.f1.strides[1]]) *
             sample_corners(f2 + channel * args.f2.strides[1], corners);
    }
    sums[shift] = sum;
  }
}

template <typename T, bool kWarps>
__global__ void __launch_bounds__(kThreads)
    correlate_volumes(CorrelationArgs args, int tiles_across, int groups) {
  const TensorView& f1 = args.f1;
  const TensorView& out = args.out;
  const auto height = static_cast<unsigned>(out.sizes[3]);
  const auto x = static_cast<int>(blockIdx.x % tiles_across * kBlockX + threadIdx.x);
  const unsigned row = blockIdx.x / tiles_across * kBlockY + threadIdx.y;
  const auto y = static_cast<int>(row % height);
  const auto z = static_cast<int>(row / height);
  if (x >= out.sizes[4] || z >= out.sizes[2]) return;

  const int side = 2 * args.radius + 1;
  const std::int64_t tasks = f1.sizes[0] * side * side * groups;
  for (std::int64_t index = blockIdx.y; index < tasks; index += gridDim.y) {
    const ShiftTask task = task_of(index, side, groups, args.radius);
    const T* own =
        static_cast<const T*>(f1.data) + task.image * f1.strides[0] + offset_in(f1, z, y, x);
    const T* others = static_cast<const T*>(args.f2.data) + task.image * args.f2.strides[0];
    const int to_z = z + task.z * args.dilation;
    const int to_y = y + task.y * args.dilation;
    const int to_x = x + task.first_x * args.dilation;
    float sums[kShifts] = {};
    if constexpr (kWarps) {
      const float* flow =
          static_cast<const float*>(args.flow.data) + task.image * args.flow.strides[0];
      warped_sums_of(args, flow, own, others, to_z, to_y, to_x, sums);
    } else {
      sums_of(args, own, others, to_z, to_y, to_x, sums);
    }
    const std::int64_t first = task.image * out.strides[0] + offset_in(out, z, y, x);
#pragma unroll
    for (int shift = 0; shift < kShifts; ++shift) {
      const int to = task.first_x + shift;
      if (to > args.radius) continue;
      const int k =
          args.x_major
              ? ((to + args.radius) * side + task.y + args.radius) * side + task.z + args.radius
              : ((task.z + args.radius) * side + task.y + args.radius) * side + to + args.radius;
      const std::int64_t at = first + k * out.strides[1];
      const float value = args.scale * sums[shift];
      switch (out.dtype) {
        case DType::kF16:
          static_cast<Half*>(out.data)[at] = from_float<Half>(value);
          break;
        case DType::kBF16:
          static_cast<BFloat16*>(out.data)[at] = from_float<BFloat16>(value);
          break;
        default:
          static_cast<float*>(out.data)[at] = value;
      }
    }
  }
}

template <typename T, bool kWarps>
Status launch_volumes(const CorrelationArgs& args, void* stream) noexcept {
  const TensorView& out = args.out;
  const std::int64_t side = 2 * args.radius + 1;
  const std::int64_t across = ceil_div(out.sizes[4], kBlockX);
  const std::int64_t groups = ceil_div(side, kShifts);
  Grid grid;
  grid.threads = dim3(kBlockX, kBlockY);
  // A volume spans less than 2^31 elements, so one axis is enough for its tiles.
  grid.blocks = dim3(static_cast<unsigned>(across * ceil_div(out.sizes[2] * out.sizes[3], kBlockY)),
                     grid_y(out.sizes[0] * side * side * groups));
  return launch("correlation", grid, out.device_index, stream, correlate_volumes<T, kWarps>, args,
                static_cast<int>(across), static_cast<int>(groups));
}

}  // namespace

Status correlation_volume_cuda(const CorrelationArgs& args, void* stream) noexcept {
  return with_float_storage(args.f1.dtype, [&](auto storage) {
    using T = typename decltype(storage)::type;
    return args.warps() ? launch_volumes<T, true>(args, stream)
                        : launch_volumes<T, false>(args, stream);
  });
}

}  // namespace cineflow
