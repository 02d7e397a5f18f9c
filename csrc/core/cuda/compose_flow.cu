#include "cineflow/compose_flow.h"
#include "cuda/launch.h"
#include "cuda/sample_pixel.h"

namespace cineflow {
namespace {

__global__ void __launch_bounds__(kBlockX* kBlockY) compose_flow_kernel(ComposeFlowArgs args) {
  const TensorView& displacement = args.displacement;
  const TensorView& out = args.out;
  const int x = blockIdx.x * kBlockX + threadIdx.x;
  const int y = blockIdx.y * kBlockY + threadIdx.y;
  if (x >= out.sizes[3] || y >= out.sizes[2]) return;
  for (std::int64_t image = blockIdx.z; image < out.sizes[0]; image += gridDim.z) {
    const float* so_far = static_cast<const float*>(displacement.data) +
                          image * displacement.strides[0] + y * displacement.strides[2] +
                          x * displacement.strides[3];
    const Taps taps =
        taps_at(args.flow, static_cast<float>(x) + so_far[0],
                static_cast<float>(y) + so_far[displacement.strides[1]], args.border, false);
    sample_slab<float>(args.flow, taps, image, 0, [&](std::int64_t channel, float value) {
      store_pixel<float>(out, image, channel, y, x,
                         so_far[channel * displacement.strides[1]] + value);
    });
  }
}

}  // namespace

Status compose_flow_cuda(const ComposeFlowArgs& args, void* stream) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const std::int64_t images = args.out.sizes[0];
  const dim3 grid(blocks_for(args.out.sizes[3], kBlockX), blocks_for(args.out.sizes[2], kBlockY),
                  static_cast<unsigned>(images < kMaxGridY ? images : kMaxGridY));
  return launch("compose_flow", Grid{grid, dim3(kBlockX, kBlockY)}, stream, &compose_flow_kernel,
                args);
}

}  // namespace cineflow
