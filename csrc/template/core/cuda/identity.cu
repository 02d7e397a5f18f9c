#include "cineflow/identity.h"
#include "cuda/launch.h"
#include "math/dispatch.h"

namespace cineflow {
namespace {

constexpr int kThreads = 256;

/// One thread per pixel of a plane; planes beyond the grid's y are strided over.
template <typename Source, typename Result>
__global__ void __launch_bounds__(kThreads) copy_planes(IdentityArgs args) {
  const TensorView& src = args.src;
  const TensorView& out = args.out;
  const auto width = static_cast<std::uint32_t>(out.sizes[3]);
  const std::uint32_t pixel = blockIdx.x * kThreads + threadIdx.x;
  if (pixel >= static_cast<std::uint32_t>(out.sizes[2]) * width) return;
  const std::int64_t y = pixel / width;
  const std::int64_t x = pixel % width;

  for (std::int64_t plane = blockIdx.y; plane < out.sizes[0] * out.sizes[1]; plane += gridDim.y) {
    const std::int64_t image = plane / out.sizes[1];
    const std::int64_t channel = plane % out.sizes[1];
    const Source* from = static_cast<const Source*>(src.data) + image * src.strides[0] +
                         channel * src.strides[1] + y * src.strides[2] + x * src.strides[3];
    Result* to = static_cast<Result*>(out.data) + image * out.strides[0] +
                 channel * out.strides[1] + y * out.strides[2] + x * out.strides[3];
    *to = from_float<Result>(to_float(*from));
  }
}

}  // namespace

Status identity_cuda(const IdentityArgs& args, void* stream) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  Grid grid;
  grid.threads = dim3(kThreads);
  grid.blocks =
      dim3(static_cast<unsigned>(ceil_div(args.out.sizes[2] * args.out.sizes[3], kThreads)),
           grid_y(args.out.sizes[0] * args.out.sizes[1]));
  return with_storage(args.src.dtype, [&](auto source) {
    return with_float_storage(args.out.dtype, [&](auto result) {
      using Source = typename decltype(source)::type;
      using Result = typename decltype(result)::type;
      return launch("identity", grid, args.out.device_index, stream, copy_planes<Source, Result>,
                    args);
    });
  });
}

}  // namespace cineflow
