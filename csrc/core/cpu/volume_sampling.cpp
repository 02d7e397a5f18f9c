#include "cpu/volume_sampling.h"

#include <algorithm>

#include "cpu/chunks.h"
#include "cpu/runs.h"

namespace cineflow {
namespace {

/// Memory for displacements that are not contiguous.
struct FlowScratch {
  alignas(64) float values[3][kMaxVolumeRun];
};

/// Whether the rows of a slice follow one another without a gap.
bool slice_rows_are_dense(const TensorView& volume) noexcept {
  return volume.strides[3] == volume.sizes[4] * volume.strides[4];
}

/// Rows of `out` in one run: more than one where whole rows fit and follow one another.
std::int64_t rows_per_run(const VolumeSampling& args) noexcept {
  const std::int64_t width = args.out.sizes[4];
  const bool dense =
      slice_rows_are_dense(args.out) && (!args.adds_flow || slice_rows_are_dense(args.flow));
  return dense && width < kMaxVolumeRun ? kMaxVolumeRun / width : 1;
}

/// Where the flow points, for `columns` pixels in each of `rows` rows of one slice.
VolumePositions positions_along(const TensorView& flow, std::int64_t first_element,
                                std::int64_t rows, std::int64_t columns,
                                FlowScratch& scratch) noexcept {
  const float* components[3];
  for (int axis = 0; axis < 3; ++axis) {
    const float* from = floats_at(flow, first_element + axis * flow.strides[1]);
    if (flow.strides[4] == 1 && (rows == 1 || flow.strides[3] == columns)) {
      components[axis] = from;
      continue;
    }
    float* to = scratch.values[axis];
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t column = 0; column < columns; ++column) {
        to[row * columns + column] = from[row * flow.strides[3] + column * flow.strides[4]];
      }
    }
    components[axis] = to;
  }
  return {components[0], components[1], components[2], columns, 0.0f, 0.0f, 0.0f};
}

}  // namespace

void sample_rows(const VolumeSampling& args, std::int64_t image, std::int64_t slice,
                 std::int64_t first_row, std::int64_t last_row) noexcept {
  const TensorView& flow = args.flow;
  const TensorView& out = args.out;
  const std::int64_t step = rows_per_run(args);
  const auto offset = [&](const TensorView& view, std::int64_t row, std::int64_t column) {
    return image * view.strides[0] + slice * view.strides[2] + row * view.strides[3] +
           column * view.strides[4];
  };
  FlowScratch scratch;
  for (std::int64_t row = first_row; row < last_row; row += step) {
    const std::int64_t rows = std::min(step, last_row - row);
    for (std::int64_t column = 0; column < out.sizes[4]; column += kMaxVolumeRun) {
      const std::int64_t columns = std::min<std::int64_t>(kMaxVolumeRun, out.sizes[4] - column);
      VolumeRun run = make_volume_run(args.src, image, args.border, out,
                                      offset(out, row - args.first_out_row, column),
                                      static_cast<int>(rows * columns));
      if (args.adds_flow) {
        run.addend = floats_at(flow, offset(flow, row, column));
        run.addend_channel_stride = flow.strides[1];
        run.addend_stride = flow.strides[4];
      }
      VolumePositions positions =
          positions_along(flow, offset(flow, row, column), rows, columns, scratch);
      positions.column = static_cast<float>(column);
      positions.row = static_cast<float>(row);
      positions.slice = static_cast<float>(slice);
      kernels().sample_volume(run, positions);
    }
  }
}

void sample_volumes(const VolumeSampling& args, const Executor& executor) noexcept {
  const TensorView& out = args.out;
  const std::int64_t depth = out.sizes[2];
  const std::int64_t height = out.sizes[3];
  const std::int64_t rows = out.sizes[0] * depth * height;
  const std::int64_t row_cost = out.sizes[1] * out.sizes[4];
  const std::int64_t bands = band_count(rows, row_cost, executor);
  for_each_chunk(rows, bands, least_rows(row_cost), executor, [&](std::int64_t, Chunks& chunks) {
    while (chunks.take()) {
      for (std::int64_t row = chunks.first(); row < chunks.last();) {
        const std::int64_t slice = row / height;  // counted through the whole batch
        const std::int64_t slice_end = std::min(chunks.last(), (slice + 1) * height);
        sample_rows(args, slice / depth, slice % depth, row - slice * height,
                    slice_end - slice * height);
        row = slice_end;
      }
    }
  });
}

}  // namespace cineflow
