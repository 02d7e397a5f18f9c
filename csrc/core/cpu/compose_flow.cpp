#include "cineflow/compose_flow.h"

#include "cpu/bands.h"
#include "cpu/runs.h"

namespace cineflow {
namespace {

/// Rows [first_row, last_row) of one image, in runs as `warp_rows` has them.
void compose_rows(const ComposeFlowArgs& args, std::int64_t image, std::int64_t first_row,
                  std::int64_t last_row) noexcept {
  const TensorView& displacement = args.displacement;
  const TensorView& out = args.out;
  const std::int64_t step = rows_follow(displacement) ? rows_per_run(out) : 1;
  CoordinateRoom room;
  for (std::int64_t row = first_row; row < last_row; row += step) {
    const std::int64_t rows = std::min(step, last_row - row);
    for_each_chunk(out.sizes[3], [&](std::int64_t first, int count) {
      SampleChunk chunk = chunk_of(args.flow, image, args.border);
      chunk.count = static_cast<int>(rows) * count;
      chunk.out = at(out, image * out.strides[0] + row * out.strides[2] + first * out.strides[3]);
      chunk.out_dtype = out.dtype;
      chunk.out_channel_stride = out.strides[1];
      chunk.out_stride = out.strides[3];
      chunk.addend =
          floats_at(displacement, image * displacement.strides[0] + row * displacement.strides[2] +
                                      first * displacement.strides[3]);
      chunk.addend_channel_stride = displacement.strides[1];
      chunk.addend_stride = displacement.strides[3];
      sample(chunk, along_flow(displacement, image, row, rows, first, count, room));
    });
  }
}

}  // namespace

Status compose_flow_cpu(const ComposeFlowArgs& args, const Executor& executor) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const std::int64_t height = args.out.sizes[2];
  const std::int64_t rows = args.out.sizes[0] * height;
  const std::int64_t bands = band_count(rows, 2 * args.out.sizes[3], executor);
  for_each_band(rows, bands, executor, [&](std::int64_t, std::int64_t first, std::int64_t last) {
    for (std::int64_t row = first; row < last;) {
      const std::int64_t end = std::min(last, (row / height + 1) * height);
      compose_rows(args, row / height, row % height, end - row / height * height);
      row = end;
    }
  });
  return status;
}

}  // namespace cineflow
