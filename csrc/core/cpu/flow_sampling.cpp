#include "cpu/flow_sampling.h"

#include "cpu/chunks.h"
#include "cpu/runs.h"

namespace cineflow {
namespace {

/// Rows [first_row, last_row) of one image.
void sample_rows(const FlowSampling& args, std::int64_t image, std::int64_t first_row,
                 std::int64_t last_row) noexcept {
  const TensorView& flow = args.flow;
  const TensorView& out = args.out;
  // A run has one stride for its addend.
  const std::int64_t step = args.adds_flow && !rows_are_dense(flow) ? 1 : rows_per_run(out);
  PositionScratch scratch;
  for (std::int64_t row = first_row; row < last_row; row += step) {
    const std::int64_t rows = std::min(step, last_row - row);
    for_each_part(out.sizes[3], [&](std::int64_t column, int columns) {
      SampleRun run =
          make_run(args.src, image, args.border, out,
                   image * out.strides[0] + row * out.strides[2] + column * out.strides[3],
                   static_cast<int>(rows) * columns);
      if (args.adds_flow) {
        run.addend = floats_at(
            flow, image * flow.strides[0] + row * flow.strides[2] + column * flow.strides[3]);
        run.addend_channel_stride = flow.strides[1];
        run.addend_stride = flow.strides[3];
      }
      sample_run(run, positions_along_flow(flow, image, row, rows, column, columns, scratch));
    });
  }
}

}  // namespace

void sample_along_flow(const FlowSampling& args, const Executor& executor) noexcept {
  const TensorView& out = args.out;
  const std::int64_t height = out.sizes[2];
  const std::int64_t rows = out.sizes[0] * height;
  const std::int64_t row_cost = out.sizes[1] * out.sizes[3];
  const std::int64_t bands = band_count(rows, row_cost, executor);
  for_each_chunk(rows, bands, least_rows(row_cost), executor, [&](std::int64_t, Chunks& chunks) {
    while (chunks.take()) {
      for (std::int64_t row = chunks.first(); row < chunks.last();) {
        const std::int64_t image_end = std::min(chunks.last(), (row / height + 1) * height);
        sample_rows(args, row / height, row % height, image_end - row / height * height);
        row = image_end;
      }
    }
  });
}

}  // namespace cineflow
