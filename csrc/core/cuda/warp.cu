#include "cineflow/warp.h"
#include "cuda/launch.h"
#include "math/bilinear.h"
#include "math/storage.h"

namespace cineflow {
namespace {

constexpr int kBlockX = 32;
constexpr int kBlockY = 8;
constexpr int kChannelsPerThread = 8;  // each reuses the taps of its pixel

/// One thread per output pixel and slab of channels; blockIdx.z counts image x slab.
template <typename Source, typename Result>
__global__ void __launch_bounds__(kBlockX* kBlockY) warp_kernel(WarpArgs args, int slabs) {
  const TensorView& src = args.src;
  const TensorView& flow = args.flow;
  const TensorView& out = args.out;
  const int x = blockIdx.x * kBlockX + threadIdx.x;
  const int y = blockIdx.y * kBlockY + threadIdx.y;
  if (x >= out.sizes[3] || y >= out.sizes[2]) return;

  for (std::int64_t task = blockIdx.z; task < out.sizes[0] * slabs; task += gridDim.z) {
    const std::int64_t image = task / slabs;
    const std::int64_t first = task % slabs * kChannelsPerThread;
    const std::int64_t last =
        first + kChannelsPerThread < src.sizes[1] ? first + kChannelsPerThread : src.sizes[1];
    const float* shift = static_cast<const float*>(flow.data) + image * flow.strides[0] +
                         y * flow.strides[2] + x * flow.strides[3];
    const Tap column = tap_at(x + shift[0], static_cast<int>(src.sizes[3]), args.border);
    const Tap row = tap_at(y + shift[flow.strides[1]], static_cast<int>(src.sizes[2]), args.border);
    for (std::int64_t channel = first; channel < last; ++channel) {
      const Source* plane =
          static_cast<const Source*>(src.data) + image * src.strides[0] + channel * src.strides[1];
      const float value = sample(row, column, [&](int r, int c) {
        return to_float(plane[r * src.strides[2] + c * src.strides[3]]);
      });
      static_cast<Result*>(out.data)[image * out.strides[0] + channel * out.strides[1] +
                                     y * out.strides[2] + x * out.strides[3]] =
          from_float<Result>(value);
    }
  }
}

template <typename Source>
void launch(const WarpArgs& args, cudaStream_t stream) {
  constexpr std::int64_t kMaxGridZ = 65535;
  const int slabs =
      static_cast<int>((args.src.sizes[1] + kChannelsPerThread - 1) / kChannelsPerThread);
  const std::int64_t tasks = args.out.sizes[0] * slabs;
  const dim3 block(kBlockX, kBlockY);
  const dim3 grid(static_cast<unsigned>((args.out.sizes[3] + kBlockX - 1) / kBlockX),
                  static_cast<unsigned>((args.out.sizes[2] + kBlockY - 1) / kBlockY),
                  static_cast<unsigned>(tasks < kMaxGridZ ? tasks : kMaxGridZ));
  switch (args.out.dtype) {
    case DType::kF16:
      warp_kernel<Source, Half><<<grid, block, 0, stream>>>(args, slabs);
      break;
    case DType::kBF16:
      warp_kernel<Source, BFloat16><<<grid, block, 0, stream>>>(args, slabs);
      break;
    default:
      warp_kernel<Source, float><<<grid, block, 0, stream>>>(args, slabs);
  }
}

}  // namespace

Status warp_cuda(const WarpArgs& args, void* stream) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const auto queue = static_cast<cudaStream_t>(stream);
  switch (args.src.dtype) {
    case DType::kF32:
      launch<float>(args, queue);
      break;
    case DType::kF16:
      launch<Half>(args, queue);
      break;
    case DType::kBF16:
      launch<BFloat16>(args, queue);
      break;
    case DType::kU8:
      launch<std::uint8_t>(args, queue);
      break;
  }
  return launch_status("warp");
}

}  // namespace cineflow
