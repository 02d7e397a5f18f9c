// Local correlation of volumes on the CPU.
//
// Problem: a voxel is compared with (2r + 1)^3 others. The result is by far the largest tensor, and
// its channels lie so far apart in memory that few of them share the caches.
//
// Solution: a task is some rows of one slice of f2, which are correlated with the 2r + 1 slices of
// f1 around it. Those are kept in a ring: the next slice of f2 needs one new slice of f1. For one
// displacement along z and y, the 2r + 1 channels of the displacements along x are then written row
// after row, so that each is written in order. With a flow, the rows of f2 are warped where they
// are packed.
#include "cpu/correlation_volume.h"

#include <algorithm>
#include <cstring>

#include "cpu/chunks.h"
#include "cpu/kernel_table.h"
#include "cpu/packing.h"
#include "cpu/views.h"
#include "cpu/volume_sampling.h"
#include "math/dispatch.h"

namespace cineflow {
namespace {

/// Most floats of the packed rows of a task, where it has more than kFewestRows.
constexpr std::int64_t kPackedFloats = std::int64_t{1} << 17;
constexpr std::int64_t kFewestRows = 4;

/// Most floats of the rows that are correlated with one another before the next rows are: few, so
/// that they are read from a cache, but enough that each channel is written some lines at a time.
constexpr std::int64_t kNearFloats = std::int64_t{24} << 10;
constexpr std::int64_t kFewestNearRows = 2;

/// Sizes that follow from the arguments.
struct Geometry {
  explicit Geometry(const CorrelationArgs& args)
      : channels(args.f1.sizes[1]),
        depth(args.f1.sizes[2]),
        height(args.f1.sizes[3]),
        width(args.f1.sizes[4]),
        side(2 * std::int64_t{args.radius} + 1),
        reach(std::int64_t{args.radius} * args.dilation),
        row_floats((width + 15) / 16 * 16),
        f1_stride(channel_spacing(row_floats)),
        f2_stride(channel_spacing(row_floats + 2 * reach)),
        ring(std::min(2 * reach + 1, depth)) {
    const std::int64_t outer = 2 * reach * channels * f2_stride;
    const auto fitting = [&](std::int64_t floats, std::int64_t slices) {
      const std::int64_t per_row = channels * (slices * f1_stride + f2_stride);
      return (floats - outer) / std::max<std::int64_t>(1, per_row);
    };
    rows = std::min(height, std::max(kFewestRows, fitting(kPackedFloats, ring)));
    blocks = (height + rows - 1) / rows;
    near_rows = std::max(kFewestNearRows, fitting(kNearFloats, 1));
  }

  std::int64_t f2_rows() const { return std::min(height, rows + 2 * reach); }

  std::int64_t workspace_floats() const {
    return channels * (ring * rows * f1_stride + f2_rows() * f2_stride) +
           (ring * rows + side) * row_floats;
  }

  std::int64_t channels, depth, height, width;
  std::int64_t side;        // displacements along one axis
  std::int64_t reach;       // the largest displacement, in pixels
  std::int64_t row_floats;  // of a row in whole vectors
  std::int64_t f1_stride;   // floats per channel of a packed row of f1
  std::int64_t f2_stride;   // floats per channel of a packed row of f2, with `reach` on both sides
  std::int64_t ring;        // slices of f1 that are correlated with one slice of f2
  std::int64_t rows = 1;    // of one task
  std::int64_t blocks = 1;  // tasks per slice
  std::int64_t near_rows = 1;  // that take every displacement along y before the next rows do
};

/// One thread's share of the tasks.
class BandWorker {
 public:
  BandWorker(const CorrelationArgs& args, const Geometry& geometry, float* workspace)
      : args_(args),
        size_(geometry),
        f1_(workspace),
        f2_(f1_ + size_.ring * size_.rows * size_.channels * size_.f1_stride),
        zeros_(f2_ + size_.channels * size_.f2_rows() * size_.f2_stride),
        sums_(zeros_ + size_.ring * size_.rows * size_.row_floats) {
    // No row fills the columns outside the volume: they stay 0.
    std::memset(workspace, 0, sizeof(float) * size_.workspace_floats());
  }

  void run(std::int64_t task) {
    const std::int64_t slices = size_.depth + 2 * size_.reach;  // of f2, including those outside
    const std::int64_t slice = task % slices - size_.reach;
    if (task / slices != block_) {  // the ring starts again
      block_ = task / slices;
      next_slice_ = 0;
    }
    image_ = block_ / size_.blocks;
    first_row_ = block_ % size_.blocks * size_.rows;
    last_row_ = std::min(size_.height, first_row_ + size_.rows);
    f2_first_ = std::max<std::int64_t>(0, first_row_ - size_.reach);
    f2_last_ = std::min(size_.height, last_row_ + size_.reach);
    const bool inside = slice >= 0 && slice < size_.depth;
    if (inside) pack_f2(slice);
    next_slice_ = std::max(next_slice_, slice - size_.reach);
    const std::int64_t last_slice = std::min(size_.depth - 1, slice + size_.reach);
    for (; next_slice_ <= last_slice; ++next_slice_) pack_f1(next_slice_);
    for (std::int64_t shift = 0; shift < size_.side; ++shift) {
      const std::int64_t from = slice - (shift - args_.radius) * args_.dilation;
      if (from < 0 || from >= size_.depth) continue;
      for (std::int64_t row = first_row_; row < last_row_; row += size_.near_rows) {
        const std::int64_t end = std::min(last_row_, row + size_.near_rows);
        for (std::int64_t row_shift = 0; row_shift < size_.side; ++row_shift) {
          correlate_rows(inside, from, shift, row_shift, row, end);
        }
      }
    }
  }

 private:
  /// The number of a row in the ring.
  std::int64_t in_ring(std::int64_t slice, std::int64_t row) const {
    return slice % size_.ring * size_.rows + row - first_row_;
  }

  float* f1_row(std::int64_t slice, std::int64_t row) const {
    return f1_ + in_ring(slice, row) * size_.channels * size_.f1_stride;
  }

  float* f2_row(std::int64_t row) const {
    return f2_ + (row - f2_first_) * size_.channels * size_.f2_stride;
  }

  float* zeros_of(std::int64_t slice, std::int64_t row) const {
    return zeros_ + in_ring(slice, row) * size_.row_floats;
  }

  /// Packs rows [begin, end) of a slice: row `begin` of channel 0 to `to`, the next channel
  /// `stride` floats on. The channels of a map lie far apart, so each is read as a whole.
  void pack_rows(const TensorView& map, std::int64_t slice, std::int64_t begin, std::int64_t end,
                 float* to, std::int64_t stride) const {
    const void* from =
        at(map, image_ * map.strides[0] + slice * map.strides[2] + begin * map.strides[3]);
    with_float_storage(map.dtype, [&](auto tag) {
      using Source = typename decltype(tag)::type;
      for (std::int64_t channel = 0; channel < size_.channels; ++channel) {
        const auto* values = static_cast<const Source*>(from) + channel * map.strides[1];
        for (std::int64_t row = 0; row < end - begin; ++row) {
          copy_values(values + row * map.strides[3], map.strides[4], size_.width,
                      to + (row * size_.channels + channel) * stride);
        }
      }
    });
  }

  /// The task's rows of a slice of f1, and their correlation with zeros: 0, or NaN where a feature
  /// is infinite or NaN.
  void pack_f1(std::int64_t slice) const {
    pack_rows(args_.f1, slice, first_row_, last_row_, f1_row(slice, first_row_), size_.f1_stride);
    for (std::int64_t row = first_row_; row < last_row_; ++row) {
      const float* packed = f1_row(slice, row);
      float* zeros = zeros_of(slice, row);
      std::memset(zeros, 0, sizeof(float) * size_.row_floats);
      for (std::int64_t channel = 0; channel < size_.channels; ++channel) {
        const float* values = packed + channel * size_.f1_stride;
        for (std::int64_t column = 0; column < size_.row_floats; ++column) {
          zeros[column] += values[column] * 0.0f;
        }
      }
    }
  }

  /// The rows of a slice of f2, or of the warped f2, that are in the task's reach.
  void pack_f2(std::int64_t slice) const {
    if (!args_.warps()) {
      pack_rows(args_.f2, slice, f2_first_, f2_last_, f2_ + size_.reach, size_.f2_stride);
      return;
    }
    TensorView packed = args_.flow;  // every slice of every image is the same memory
    packed.data = f2_ + size_.reach;
    packed.sizes[1] = size_.channels;
    packed.strides[0] = packed.strides[2] = 0;
    packed.strides[1] = size_.f2_stride;
    packed.strides[3] = size_.channels * size_.f2_stride;
    packed.strides[4] = 1;
    VolumeSampling sampling{args_.f2, args_.flow, packed, args_.border};
    sampling.first_out_row = f2_first_;
    sample_rows(sampling, image_, slice, f2_first_, f2_last_);
  }

  /// Rows [begin, end) of slice `slice` of f1, for one displacement along z and one along y.
  void correlate_rows(bool inside, std::int64_t slice, std::int64_t shift, std::int64_t row_shift,
                      std::int64_t begin, std::int64_t end) const {
    const TensorView& out = args_.out;
    const std::int64_t side = size_.side;
    const std::int64_t first =
        args_.x_major ? row_shift * side + shift : (shift * side + row_shift) * side;
    const std::int64_t step = out.strides[1] * (args_.x_major ? side * side : 1);
    const bool direct = out.dtype == DType::kF32 && out.strides[4] == 1;
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t to = image_ * out.strides[0] + first * out.strides[1] +
                              slice * out.strides[2] + row * out.strides[3];
      const std::int64_t f2_row_at = row + (row_shift - args_.radius) * args_.dilation;
      if (!inside || f2_row_at < 0 || f2_row_at >= size_.height) {
        for (std::int64_t at = 0; at < side; ++at) write_row(zeros_of(slice, row), to + at * step);
        continue;
      }
      CorrelationRow pair{};
      pair.f1 = f1_row(slice, row);
      pair.f1_stride = size_.f1_stride;
      pair.f2 = f2_row(f2_row_at);
      pair.f2_stride = size_.f2_stride;
      pair.out = direct ? static_cast<float*>(at(out, to)) : sums_;
      pair.out_stride = direct ? step : size_.row_floats;
      pair.channels = size_.channels;
      pair.columns = size_.width;
      pair.shifts = static_cast<int>(side);
      pair.step = args_.dilation;
      pair.scale = args_.scale;
      kernels().correlate_row(pair);
      if (direct) continue;
      for (std::int64_t at = 0; at < side; ++at) {
        write_row(sums_ + at * size_.row_floats, to + at * step);
      }
    }
  }

  /// Writes a row of results to the output, from element `to` on.
  void write_row(const float* results, std::int64_t to) const {
    const TensorView& out = args_.out;
    if (out.dtype == DType::kF32 && out.strides[4] == 1) {
      std::memcpy(at(out, to), results, sizeof(float) * size_.width);
      return;
    }
    with_float_storage(out.dtype, [&](auto tag) {
      using Result = typename decltype(tag)::type;
      auto* values = static_cast<Result*>(at(out, to));
      for (std::int64_t column = 0; column < size_.width; ++column) {
        values[column * out.strides[4]] = from_float<Result>(results[column]);
      }
    });
  }

  const CorrelationArgs& args_;
  const Geometry& size_;
  float* f1_;                    // [ring][rows][channels][f1_stride]
  float* f2_;                    // [f2_rows][channels][f2_stride]
  float* zeros_;                 // [ring][rows][row_floats]: f1 with zeros
  float* sums_;                  // [side][row_floats], where the output cannot be written directly
  std::int64_t block_ = -1;      // rows of an image, counted through the batch
  std::int64_t next_slice_ = 0;  // of f1: the first that is not in the ring yet
  std::int64_t image_ = 0;
  std::int64_t first_row_ = 0, last_row_ = 0;  // of f1 and the output
  std::int64_t f2_first_ = 0, f2_last_ = 0;    // rows of f2 in reach of them
};

}  // namespace

std::int64_t volume_workspace_floats(const CorrelationArgs& args) noexcept {
  return (Geometry(args).workspace_floats() + 15) / 16 * 16;
}

void correlate_volumes(const CorrelationArgs& args, const Executor& executor) noexcept {
  const Geometry geometry(args);
  const std::int64_t tasks =
      args.f1.sizes[0] * (geometry.depth + 2 * geometry.reach) * geometry.blocks;
  const std::int64_t task_cost = geometry.channels * geometry.rows * geometry.row_floats *
                                 geometry.side * geometry.side * geometry.side / 8;
  const std::int64_t bands = band_count(tasks, task_cost, executor);
  const std::int64_t floats = volume_workspace_floats(args);
  // The first slice of a chunk packs a whole ring of f1.
  for_each_chunk(tasks, bands, geometry.ring, executor, [&](std::int64_t band, Chunks& chunks) {
    BandWorker worker(args, geometry, static_cast<float*>(args.workspace) + band * floats);
    while (chunks.take()) {
      for (std::int64_t task = chunks.first(); task < chunks.last(); ++task) worker.run(task);
    }
  });
}

}  // namespace cineflow
