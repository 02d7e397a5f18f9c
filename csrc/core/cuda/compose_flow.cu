#include "cineflow/compose_flow.h"
#include "cuda/corners.h"
#include "cuda/launch.h"
#include "cuda/volumes.h"

namespace cineflow {
namespace {

constexpr int kThreads = 256;

/// One thread per point of the reference frame.
__global__ void __launch_bounds__(kThreads) compose(ComposeFlowArgs args) {
  const TensorView& flow = args.flow;
  const TensorView& out = args.out;
  const auto width = static_cast<std::uint32_t>(out.sizes[3]);
  const std::uint32_t pixel = blockIdx.x * kThreads + threadIdx.x;
  if (pixel >= static_cast<std::uint32_t>(out.sizes[2]) * width) return;
  const int y = static_cast<int>(pixel / width);
  const int x = static_cast<int>(pixel % width);

  for (std::int64_t image = blockIdx.y; image < out.sizes[0]; image += gridDim.y) {
    const TensorView& displacement = args.displacement;
    const float* so_far = static_cast<const float*>(displacement.data) +
                          image * displacement.strides[0] + y * displacement.strides[2] +
                          x * displacement.strides[3];
    const float right = so_far[0];
    const float down = so_far[displacement.strides[1]];
    const auto column = tap_at(static_cast<float>(x) + right,
                               static_cast<std::int32_t>(flow.sizes[3]), args.border);
    const auto row =
        tap_at(static_cast<float>(y) + down, static_cast<std::int32_t>(flow.sizes[2]), args.border);
    const Corners corners = corners_of(row, column, static_cast<std::int32_t>(flow.strides[2]),
                                       static_cast<std::int32_t>(flow.strides[3]));
    const float* next = static_cast<const float*>(flow.data) + image * flow.strides[0];
    float* result = static_cast<float*>(out.data) + image * out.strides[0] + y * out.strides[2] +
                    x * out.strides[3];
    result[0] = right + sample_corners(next, corners);
    result[out.strides[1]] = down + sample_corners(next + flow.strides[1], corners);
  }
}

}  // namespace

Status compose_flow_cuda(const ComposeFlowArgs& args, void* stream) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  if (args.flow.rank == kVolumeRank) return compose_flow_volume_cuda(args, stream);
  Grid grid;
  grid.threads = dim3(kThreads);
  grid.blocks =
      dim3(static_cast<unsigned>(ceil_div(args.out.sizes[2] * args.out.sizes[3], kThreads)),
           grid_y(args.out.sizes[0]));
  return launch("compose_flow", grid, args.out.device_index, stream, compose, args);
}

}  // namespace cineflow
