// Warp and composition of flows for volumes.
#include "cuda/launch.h"
#include "cuda/sample_planes.h"
#include "cuda/volume_corners.h"
#include "cuda/volume_grid.h"
#include "cuda/volumes.h"
#include "math/dispatch.h"

namespace cineflow {
namespace {

constexpr int kMaxSlab = 8;  // channels of one thread, which share the corners of its pixel
constexpr int kAtOnce = 2;   // channels that are loaded together

/// Where the flow points from a pixel.
__device__ inline VolumeCorners corners_along(const TensorView& flow, const TensorView& volume,
                                              Border border, std::int64_t image,
                                              const GridPixel& at) {
  const float* shift = static_cast<const float*>(flow.data) + offset_in(flow, image, at);
  return corners_at(volume, border, static_cast<float>(at.x) + shift[0],
                    static_cast<float>(at.y) + shift[flow.strides[1]],
                    static_cast<float>(at.z) + shift[2 * flow.strides[1]]);
}

/// One thread per output pixel and slab of channels, for any strides.
template <typename Source, typename Result>
__global__ void __launch_bounds__(kVolumeThreads)
    warp_volumes(WarpArgs args, int tiles_across, int slab, std::int64_t slabs) {
  const TensorView& src = args.src;
  const TensorView& out = args.out;
  const GridPixel pixel = pixel_of(out, tiles_across);
  if (!pixel.inside) return;

  for (std::int64_t task = blockIdx.y; task < out.sizes[0] * slabs; task += gridDim.y) {
    const std::int64_t image = task / slabs;
    const std::int64_t first = task % slabs * slab;
    const VolumeCorners corners = corners_along(args.flow, src, args.border, image, pixel);
    const Source* volume =
        static_cast<const Source*>(src.data) + image * src.strides[0] + first * src.strides[1];
    Result* result =
        static_cast<Result*>(out.data) + offset_in(out, image, pixel) + first * out.strides[1];
    const std::int64_t left = src.sizes[1] - first;
    const int channels = left < slab ? static_cast<int>(left) : slab;
    sample_planes<kAtOnce>(volume, src.strides[1], result, out.strides[1], channels, corners,
                           [](float sample) { return from_float<Result>(sample); });
  }
}

/// One thread per point of the reference frame.
__global__ void __launch_bounds__(kVolumeThreads)
    compose_volumes(ComposeFlowArgs args, int tiles_across) {
  const TensorView& displacement = args.displacement;
  const TensorView& flow = args.flow;
  const TensorView& out = args.out;
  const GridPixel pixel = pixel_of(out, tiles_across);
  if (!pixel.inside) return;

  for (std::int64_t image = blockIdx.y; image < out.sizes[0]; image += gridDim.y) {
    const VolumeCorners corners = corners_along(displacement, flow, args.border, image, pixel);
    const float* so_far =
        static_cast<const float*>(displacement.data) + offset_in(displacement, image, pixel);
    const float* next = static_cast<const float*>(flow.data) + image * flow.strides[0];
    float* result = static_cast<float*>(out.data) + offset_in(out, image, pixel);
#pragma unroll
    for (int component = 0; component < 3; ++component) {
      result[component * out.strides[1]] =
          so_far[component * displacement.strides[1]] +
          sample_corners(next + component * flow.strides[1], corners);
    }
  }
}

template <typename Source, typename Result>
Status launch_warp(const WarpArgs& args, void* stream) noexcept {
  const TensorView& out = args.out;
  const std::int64_t across = ceil_div(out.sizes[4], kVolumeBlockX);
  // Small volumes get fewer channels per thread, so that every multiprocessor has a block.
  const std::int64_t tiles = volume_grid(out, 1, across).blocks.x;
  int slab = kMaxSlab;
  const auto blocks = [&] { return tiles * out.sizes[0] * ceil_div(out.sizes[1], slab); };
  while (slab > 1 && blocks() < multiprocessors(out.device_index)) slab /= 2;
  const std::int64_t slabs = ceil_div(out.sizes[1], slab);
  return launch("warp", volume_grid(out, out.sizes[0] * slabs, across), out.device_index, stream,
                warp_volumes<Source, Result>, args, static_cast<int>(across), slab, slabs);
}

}  // namespace

Status warp_volume_cuda(const WarpArgs& args, void* stream) noexcept {
  return with_storage(args.src.dtype, [&](auto source) {
    return with_float_storage(args.out.dtype, [&](auto result) {
      using Source = typename decltype(source)::type;
      using Result = typename decltype(result)::type;
      return launch_warp<Source, Result>(args, stream);
    });
  });
}

Status compose_flow_volume_cuda(const ComposeFlowArgs& args, void* stream) noexcept {
  const TensorView& out = args.out;
  const std::int64_t across = ceil_div(out.sizes[4], kVolumeBlockX);
  return launch("compose_flow", volume_grid(out, out.sizes[0], across), out.device_index, stream,
                compose_volumes, args, static_cast<int>(across));
}

}  // namespace cineflow
