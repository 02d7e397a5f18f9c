// Correlation of patches on the CPU.
//
// For each key point and target, both patches are reduced to their cells, for every channel. Their
// correlation is then a matrix product [I, C] x [C, J]. The patches of the reference serve all
// targets. The points of a target follow one another, because their patches share its pixels.
// Nothing but these cells is stored.
#include "cineflow/patch_correlation.h"

#include <algorithm>
#include <cstring>

#include "cpu/chunks.h"
#include "cpu/kernel_table.h"
#include "cpu/views.h"
#include "cpu/workspace.h"
#include "math/dispatch.h"

namespace cineflow {
namespace {

/// Rows of results that are converted together, where the output cannot be written directly.
constexpr std::int64_t kConvertedRows = 4 * kProductRows;

/// Most floats of the reference's cells that are kept, where that is more than one point.
constexpr std::int64_t kKeptFloats = std::int64_t{1} << 17;

std::int64_t whole_vectors(std::int64_t floats) { return (floats + 15) / 16 * 16; }

/// Sizes that follow from the arguments.
struct Geometry {
  explicit Geometry(const PatchCorrelationArgs& args)
      : channels(args.f1.sizes[1]),
        rows(std::int64_t{args.cells1()} * args.cells1()),
        columns(std::int64_t{args.cells2()} * args.cells2()),
        first_stride(whole_vectors(rows)),
        second_stride(whole_vectors(columns)),
        converts(args.out.dtype != DType::kF32 || args.out.strides[3] != 1),
        points(args.out.sizes[1]),
        targets(args.f1.sizes[0] > 0 ? args.f2.sizes[0] / args.f1.sizes[0] : 0) {
    const std::int64_t one = std::max<std::int64_t>(1, channels * first_stride);
    kept = std::max<std::int64_t>(1, std::min(points, kKeptFloats / one));
  }

  std::int64_t workspace_floats() const {
    return channels * (kept * first_stride + second_stride) +
           (converts ? std::min(rows, kConvertedRows) * second_stride : 0);
  }

  std::int64_t channels;
  std::int64_t rows, columns;                // of a result: cells of f1 and of f2
  std::int64_t first_stride, second_stride;  // floats per channel
  bool converts;
  std::int64_t points;
  std::int64_t targets;   // maps of f2 per map of f1
  std::int64_t kept = 1;  // points whose cells of f1 are kept for all targets
};

PatchAxis axis_of(float point, int size, int pool, std::int64_t length, Border border) {
  PatchAxis axis;
  axis.cells = size / pool;
  axis.begin = axis.end = 0;
  for (int cell = 0; cell < axis.cells; ++cell) {
    const PixelRun run = cell_run(point, cell, size, pool, static_cast<std::int32_t>(length),
                                  border, axis.weights + cell, axis.cells);
    axis.first[cell] = run.first;
    axis.count[cell] = run.count;
    if (run.count == 0) continue;
    if (axis.begin == axis.end) axis.begin = run.first;
    axis.end = std::max(axis.end, run.first + run.count);
  }
  return axis;
}

/// One thread's share of the tasks.
class BandWorker {
 public:
  BandWorker(const PatchCorrelationArgs& args, const Geometry& geometry, float* workspace)
      : args_(args),
        size_(geometry),
        first_(workspace),
        second_(first_ + size_.kept * size_.channels * size_.first_stride),
        results_(second_ + size_.channels * size_.second_stride) {
    // Products are whole vectors; what lies behind the cells is never used.
    std::memset(workspace, 0, sizeof(float) * size_.workspace_floats());
  }

  /// Tasks count the points that are kept, then the targets, then the next points, then the
  /// references.
  void run(std::int64_t task) {
    const std::int64_t reference = task / (size_.targets * size_.points);
    std::int64_t index = task % (size_.targets * size_.points);
    const std::int64_t begin = index / (size_.targets * size_.kept) * size_.kept;
    const std::int64_t count = std::min(size_.kept, size_.points - begin);
    index -= begin * size_.targets;
    const std::int64_t image = reference * size_.targets + index / count;
    const std::int64_t slot = index % count;
    if (reference != reference_ || begin != begin_) {
      reference_ = reference;
      begin_ = begin;
      for (std::int64_t at = 0; at < count; ++at) {
        sample(args_.f1, args_.points1, reference, begin + at, args_.size1, args_.pool1,
               first_at(at), size_.first_stride);
      }
    }
    sample(args_.f2, args_.points2, image, begin + slot, args_.size2, args_.pool2, second_,
           size_.second_stride);
    multiply(first_at(slot), image * args_.out.strides[0] + (begin + slot) * args_.out.strides[1]);
  }

 private:
  /// The cells of f1 of a kept point.
  float* first_at(std::int64_t slot) const {
    return first_ + slot * size_.channels * size_.first_stride;
  }

  void sample(const TensorView& map, const TensorView& points, std::int64_t image,
              std::int64_t point, int size, int pool, float* cells, std::int64_t stride) const {
    const float* at_point =
        floats_at(points, image * points.strides[0] + point * points.strides[1]);
    const PatchAxis columns = axis_of(at_point[0], size, pool, map.sizes[3], args_.border);
    const PatchAxis rows =
        axis_of(at_point[points.strides[2]], size, pool, map.sizes[2], args_.border);
    PatchSampling task{};
    task.map = at(map, image * map.strides[0]);
    task.dtype = map.dtype;
    task.channels = size_.channels;
    task.channel_stride = map.strides[1];
    task.row_stride = map.strides[2];
    task.column_stride = map.strides[3];
    task.rows = &rows;
    task.columns = &columns;
    task.out = cells;
    task.out_stride = stride;
    kernels().sample_patch(task);
  }

  /// The products of all cells, from element `to` of the output on.
  void multiply(const float* first, std::int64_t to) const {
    const TensorView& out = args_.out;
    MatrixProduct task{};
    task.first_stride = size_.first_stride;
    task.second = second_;
    task.second_stride = size_.second_stride;
    task.channels = size_.channels;
    task.columns = size_.columns;
    task.scale = args_.scale;
    if (!size_.converts) {
      task.first = first;
      task.out = static_cast<float*>(at(out, to));
      task.out_stride = out.strides[2];
      task.rows = size_.rows;
      kernels().multiply_matrices(task);
      return;
    }
    for (std::int64_t row = 0; row < size_.rows; row += kConvertedRows) {
      task.first = first + row;
      task.out = results_;
      task.out_stride = size_.second_stride;
      task.rows = std::min(kConvertedRows, size_.rows - row);
      kernels().multiply_matrices(task);
      for (std::int64_t index = 0; index < task.rows; ++index) {
        write_row(results_ + index * size_.second_stride, to + (row + index) * out.strides[2]);
      }
    }
  }

  void write_row(const float* results, std::int64_t to) const {
    const TensorView& out = args_.out;
    with_float_storage(out.dtype, [&](auto tag) {
      using Result = typename decltype(tag)::type;
      auto* values = static_cast<Result*>(at(out, to));
      for (std::int64_t column = 0; column < size_.columns; ++column) {
        values[column * out.strides[3]] = from_float<Result>(results[column]);
      }
    });
  }

  const PatchCorrelationArgs& args_;
  const Geometry& size_;
  float* first_;    // [kept][C][first_stride]: cells of f1
  float* second_;   // [C][second_stride]: cells of f2
  float* results_;  // [kConvertedRows][second_stride], where the output is converted
  std::int64_t reference_ = -1, begin_ = -1;  // whose cells are in first_
};

/// More channels than memory holds; with fewer, no product of `Geometry` can overflow.
constexpr std::int64_t kChannelLimit = std::int64_t{1} << 28;

/// Whether the sizes of `Geometry` are safe to compute, for arguments that nothing has checked yet.
bool has_geometry(const PatchCorrelationArgs& args) {
  const auto is_patch = [](int size, int pool) {
    return size >= 1 && size <= kMaxPatch && pool >= 1 && pool <= size;
  };
  return is_patch(args.size1, args.pool1) && is_patch(args.size2, args.pool2) &&
         args.f1.rank == 4 && args.out.rank == 4 && args.f1.sizes[1] < kChannelLimit &&
         args.out.elements() > 0;
}

}  // namespace

std::int64_t patch_correlation_workspace(const PatchCorrelationArgs& args, int threads) noexcept {
  if (!has_geometry(args)) return 0;
  const std::int64_t floats = std::max<std::int64_t>(16, Geometry(args).workspace_floats());
  return floats * threads * sizeof(float);
}

Status patch_correlation_cpu(const PatchCorrelationArgs& args, const Executor& executor) noexcept {
  Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  status = check_workspace(args.workspace);
  if (!status.ok()) return status;
  const Geometry geometry(args);
  const std::int64_t tasks = args.out.sizes[0] * args.out.sizes[1];
  const std::int64_t samples = std::int64_t{args.size2} * args.size2;
  const std::int64_t task_cost =
      geometry.channels * (samples + geometry.rows * geometry.columns / 8) +
      geometry.rows * geometry.columns;
  const std::int64_t bands = band_count(tasks, task_cost, executor);
  for_each_chunk(tasks, bands, 1, executor, [&](std::int64_t band, Chunks& chunks) {
    float* workspace = static_cast<float*>(args.workspace) + band * geometry.workspace_floats();
    BandWorker worker(args, geometry, workspace);
    while (chunks.take()) {
      for (std::int64_t task = chunks.first(); task < chunks.last(); ++task) worker.run(task);
    }
  });
  return status;
}

}  // namespace cineflow
