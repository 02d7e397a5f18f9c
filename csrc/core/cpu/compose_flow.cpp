#include "cineflow/compose_flow.h"

#include "cpu/bands.h"
#include "cpu/warped_row.h"

namespace cineflow {
namespace {

void compose_row(const ComposeFlowArgs& args, std::int64_t image, std::int64_t row) noexcept {
  const TensorView& displacement = args.displacement;
  const TensorView& out = args.out;
  alignas(64) float x[kCoordinateRoom];
  alignas(64) float y[kCoordinateRoom];
  for_each_chunk(out.sizes[3], [&](std::int64_t first, int count) {
    coordinates_of(displacement, image, row, first, count, x, y);
    SampleChunk chunk = chunk_of(args.flow, image, args.border);
    chunk.x = x;
    chunk.y = y;
    chunk.count = count;
    chunk.out = at(out, image * out.strides[0] + row * out.strides[2] + first * out.strides[3]);
    chunk.out_dtype = out.dtype;
    chunk.out_channel_stride = out.strides[1];
    chunk.out_stride = out.strides[3];
    chunk.addend =
        floats_at(displacement, image * displacement.strides[0] + row * displacement.strides[2] +
                                    first * displacement.strides[3]);
    chunk.addend_channel_stride = displacement.strides[1];
    chunk.addend_stride = displacement.strides[3];
    kernels().sample(chunk);
  });
}

}  // namespace

Status compose_flow_cpu(const ComposeFlowArgs& args, const Executor& executor) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const std::int64_t height = args.out.sizes[2];
  const std::int64_t rows = args.out.sizes[0] * height;
  const std::int64_t bands = band_count(rows, 2 * args.out.sizes[3], executor);
  for_each_band(rows, bands, executor, [&](std::int64_t, std::int64_t first, std::int64_t last) {
    for (std::int64_t row = first; row < last; ++row) {
      compose_row(args, row / height, row % height);
    }
  });
  return status;
}

}  // namespace cineflow
