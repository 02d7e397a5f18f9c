// The correlation runs over rows of f2, not of the output: a row of f2 meets the 2r + 1 rows of f1
// around it.
//
// A task is one row of f2. f1's rows live in a ring: the next row of f2 needs one new row of f1.
// Packing brings every storage type, stride, border and warp into one form in f32, so that the
// register block knows none of them. Rows are packed over their whole width, since that is how
// memory likes to be read, or in strips where the ring would be too large. The warp samples several
// rows at once, into a run that they are packed from.
#include "cineflow/correlation.h"

#include <cstring>

#include "cpu/bands.h"
#include "cpu/runs.h"
#include "math/dispatch.h"

namespace cineflow {
namespace {

constexpr std::int64_t kAlignment = 64;

/// Floats in the ring of a strip that is wider than one tile: each thread keeps so many.
constexpr std::int64_t kRingFloats = std::int64_t{1} << 20;

/// Floats from one channel to the next: whole cache lines, and an odd number of them, so that the
/// channels of a column spread over the whole first-level cache.
std::int64_t spread(std::int64_t floats) { return ((floats + 15) / 16 | 1) * 16; }

/// Sizes that follow from the arguments.
struct Geometry {
  explicit Geometry(const CorrelationArgs& args)
      : channels(args.f1.sizes[1]),
        height(args.f1.sizes[2]),
        width(args.f1.sizes[3]),
        side(2 * args.radius + 1),
        reach(std::int64_t{args.radius} * args.dilation),
        ring_rows(std::min(2 * reach + 1, height)),
        f1_tile(channels * kTileColumns) {
    const std::int64_t tiles = (width + kTileColumns - 1) / kTileColumns;
    const std::int64_t tile_ring = std::max<std::int64_t>(1, ring_rows * f1_tile);
    const std::int64_t most = std::max<std::int64_t>(1, kRingFloats / tile_ring);
    strips = std::max<std::int64_t>(1, (tiles + most - 1) / most);
    const std::int64_t strip_tiles = (tiles + strips - 1) / strips;
    strip = strip_tiles * kTileColumns;
    f1_row = strip_tiles * f1_tile;
    f2_stride = spread(strip + 2 * reach);
    if (!args.warps() || width == 0) return;
    const std::int64_t columns = std::min(width, strip + 2 * reach);
    run_rows = std::min(height, std::max<std::int64_t>(1, kMaxChunk / columns));
    run_stride = spread(run_rows * columns);
  }

  std::int64_t workspace_floats() const {
    return ring_rows * f1_row + channels * (f2_stride + run_stride) +
           kTileRows * side * kTileColumns;
  }

  std::int64_t channels, height, width;
  std::int64_t side;            // displacements along one axis
  std::int64_t reach;           // pixels of the largest one
  std::int64_t ring_rows;       // of f1 that one row of f2 meets
  std::int64_t f1_tile;         // floats of a tile in a packed row of f1
  std::int64_t strip;           // columns that are walked down at once, whole tiles
  std::int64_t strips;          // across the width
  std::int64_t f1_row;          // floats of a packed row of f1
  std::int64_t f2_stride;       // floats per channel of the packed row of f2
  std::int64_t run_rows = 0;    // of f2 that are warped at once
  std::int64_t run_stride = 0;  // floats per channel of these
};

/// Copy `count` values to f32; whole vectors where they lie side by side.
template <typename Source>
void copy_values(const Source* from, std::int64_t step, std::int64_t count, float* to) {
  constexpr std::int64_t kVector = 16;
  if (std::is_same_v<Source, float> && step == 1 && count >= kVector) {
    for (std::int64_t index = 0; index + kVector <= count; index += kVector) {
      std::memcpy(to + index, from + index, kVector * sizeof(float));
    }
    std::memcpy(to + count - kVector, from + count - kVector, kVector * sizeof(float));
    return;
  }
  for (std::int64_t index = 0; index < count; ++index) to[index] = to_float(from[index * step]);
}

/// The walk of one band over its share of the tasks.
class Walk {
 public:
  Walk(const CorrelationArgs& args, const Geometry& geometry, float* workspace)
      : args_(args),
        size_(geometry),
        ring_(workspace),
        f2_(ring_ + size_.ring_rows * size_.f1_row),
        sums_(f2_ + size_.channels * size_.f2_stride),
        run_(sums_ + kTileRows * size_.side * kTileColumns) {}

  void run(std::int64_t first, std::int64_t last) {
    const std::int64_t rows = size_.height + 2 * size_.reach;  // of f2, outside ones included
    for (std::int64_t task = first; task < last; ++task) {
      if (task == first || task % rows == 0) start_strip(task / rows);
      tasks_left_ = last - task;
      correlate_row(task % rows - size_.reach);
    }
  }

 private:
  void start_strip(std::int64_t index) {
    image_ = index / size_.strips;
    begin_ = index % size_.strips * size_.strip;
    end_ = std::min(size_.width, begin_ + size_.strip);
    f2_begin_ = std::max<std::int64_t>(0, begin_ - size_.reach);
    f2_end_ = std::min(size_.width, end_ + size_.reach);
    next_row_ = 0;
    run_end_ = 0;
    // Columns outside the image, which no row fills: they stay 0.
    std::memset(f2_, 0, sizeof(float) * size_.channels * size_.f2_stride);
    if (end_ % kTileColumns == 0) return;
    const std::int64_t last_tile = (end_ - begin_) / kTileColumns * size_.f1_tile;
    for (std::int64_t row = 0; row < size_.ring_rows; ++row) {
      std::memset(ring_row(row) + last_tile, 0, sizeof(float) * size_.f1_tile);
    }
  }

  /// Columns of the tile that begins at `column`.
  std::int64_t columns_from(std::int64_t column) const {
    return std::min<std::int64_t>(kTileColumns, end_ - column);
  }

  float* ring_row(std::int64_t row) { return ring_ + row % size_.ring_rows * size_.f1_row; }

  void pack_f1(std::int64_t row) {
    const TensorView& f1 = args_.f1;
    const void* from =
        at(f1, image_ * f1.strides[0] + row * f1.strides[2] + begin_ * f1.strides[3]);
    float* to = ring_row(row);
    with_float_storage(f1.dtype, [&](auto tag) {
      using Source = typename decltype(tag)::type;
      for (std::int64_t channel = 0; channel < size_.channels; ++channel) {
        const auto* values = static_cast<const Source*>(from) + channel * f1.strides[1];
        for (std::int64_t column = begin_; column < end_; column += kTileColumns) {
          const std::int64_t done = column - begin_;
          copy_values(values + done * f1.strides[3], f1.strides[3], columns_from(column),
                      to + done * size_.channels + channel * kTileColumns);
        }
      }
    });
  }

  /// Row `row` of f2, or of the warped f2.
  void pack_f2(std::int64_t row) {
    if (args_.warps()) {
      if (row >= run_end_) warp_from(row);
      const TensorView run = run_view();
      pack_f2(run, at(run, (row - run_begin_) * run.strides[2]));
    } else {
      const TensorView& f2 = args_.f2;
      pack_f2(f2, at(f2, image_ * f2.strides[0] + row * f2.strides[2] + f2_begin_ * f2.strides[3]));
    }
  }

  void pack_f2(const TensorView& f2, const void* from) {
    float* to = f2_ + (f2_begin_ - (begin_ - size_.reach));
    with_float_storage(f2.dtype, [&](auto tag) {
      using Source = typename decltype(tag)::type;
      for (std::int64_t channel = 0; channel < size_.channels; ++channel) {
        copy_values(static_cast<const Source*>(from) + channel * f2.strides[1], f2.strides[3],
                    f2_end_ - f2_begin_, to + channel * size_.f2_stride);
      }
    });
  }

  /// The run, with its channels last where f2 has them so: the warp is quickest like that.
  TensorView run_view() const {
    const bool channels_last = args_.f2.strides[1] == 1;
    const std::int64_t step = channels_last ? size_.channels : 1;
    TensorView run;
    run.data = run_;
    run.strides[1] = channels_last ? 1 : size_.run_stride;
    run.strides[2] = (f2_end_ - f2_begin_) * step;
    run.strides[3] = step;
    return run;
  }

  /// The run of warped rows that begins at `row`; it ends where this walk does.
  void warp_from(std::int64_t row) {
    const std::int64_t rows = std::min({size_.run_rows, size_.height - row, tasks_left_});
    const TensorView run = run_view();
    CoordinateRoom room;
    for_each_chunk(f2_end_ - f2_begin_, [&](std::int64_t first, int count) {
      SampleChunk chunk = chunk_of(args_.f2, image_, args_.border);
      chunk.count = static_cast<int>(rows) * count;
      chunk.out = at(run, first * run.strides[3]);
      chunk.out_dtype = run.dtype;
      chunk.out_channel_stride = run.strides[1];
      chunk.out_stride = run.strides[3];
      sample(chunk, along_flow(args_.flow, image_, row, rows, f2_begin_ + first, count, room));
    });
    run_begin_ = row;
    run_end_ = row + rows;
  }

  /// Every output that row `f2_row` of f2 has part in.
  void correlate_row(std::int64_t f2_row) {
    const bool inside = f2_row >= 0 && f2_row < size_.height;
    if (inside) pack_f2(f2_row);
    next_row_ = std::max(next_row_, f2_row - size_.reach);
    const std::int64_t last = std::min(size_.height - 1, f2_row + size_.reach);
    for (; next_row_ <= last; ++next_row_) pack_f1(next_row_);
    for (std::int64_t column = begin_; column < end_; column += kTileColumns) {
      correlate_tile(inside, f2_row, column);
    }
  }

  void correlate_tile(bool inside, std::int64_t f2_row, std::int64_t column) {
    std::int64_t rows[kTileRows];
    std::int64_t shifts[kTileRows];
    int count = 0;
    for (std::int64_t shift = 0; shift < size_.side; ++shift) {
      const std::int64_t row = f2_row - (shift - args_.radius) * args_.dilation;
      if (row < 0 || row >= size_.height) continue;
      rows[count] = row;
      shifts[count] = shift;
      if (++count == kTileRows) {
        correlate_rows(inside, column, rows, shifts, count);
        count = 0;
      }
    }
    if (count > 0) correlate_rows(inside, column, rows, shifts, count);
  }

  void correlate_rows(bool inside, std::int64_t column, const std::int64_t* rows,
                      const std::int64_t* shifts, int count) {
    const TensorView& out = args_.out;
    const std::int64_t x_stride = out.strides[1] * (args_.x_major ? size_.side : 1);
    const std::int64_t y_stride = out.strides[1] * (args_.x_major ? 1 : size_.side);
    const std::int64_t columns = columns_from(column);
    const bool direct =
        inside && out.dtype == DType::kF32 && out.strides[3] == 1 && columns == kTileColumns;
    std::int64_t offsets[kTileRows];
    CorrelationTile tile{};
    for (int index = 0; index < count; ++index) {
      offsets[index] = image_ * out.strides[0] + shifts[index] * y_stride +
                       rows[index] * out.strides[2] + column * out.strides[3];
      tile.f1[index] = ring_row(rows[index]) + (column - begin_) * size_.channels;
      tile.out[index] = direct ? static_cast<float*>(at(out, offsets[index]))
                               : sums_ + index * size_.side * kTileColumns;
    }
    if (inside) {
      tile.rows = count;
      tile.f2 = f2_ + (column - begin_);
      tile.f2_stride = size_.f2_stride;
      tile.out_stride = direct ? x_stride : kTileColumns;
      tile.channels = size_.channels;
      tile.shifts = static_cast<int>(size_.side);
      tile.step = args_.dilation;
      tile.scale = args_.scale;
      kernels().correlate(tile);
    } else {
      for (int index = 0; index < count; ++index) {
        correlate_nothing(tile.f1[index], sums_ + index * size_.side * kTileColumns);
      }
    }
    if (direct) return;
    with_float_storage(out.dtype, [&](auto tag) {
      using Result = typename decltype(tag)::type;
      for (int index = 0; index < count; ++index) {
        for (std::int64_t shift = 0; shift < size_.side; ++shift) {
          const float* from = sums_ + (index * size_.side + shift) * kTileColumns;
          auto* to = static_cast<Result*>(at(out, offsets[index] + shift * x_stride));
          for (std::int64_t lane = 0; lane < columns; ++lane) {
            to[lane * out.strides[3]] = from_float<Result>(from[lane]);
          }
        }
      }
    });
  }

  /// A row of f1 with a row of zeros, for every shift: 0, but beside a feature that is no number.
  void correlate_nothing(const float* f1, float* sums) {
    std::memset(sums, 0, sizeof(float) * kTileColumns);
    for (std::int64_t channel = 0; channel < size_.channels; ++channel) {
      for (std::int64_t column = 0; column < kTileColumns; ++column) {
        sums[column] += f1[channel * kTileColumns + column] * 0.0f;
      }
    }
    for (std::int64_t shift = 1; shift < size_.side; ++shift) {
      std::memcpy(sums + shift * kTileColumns, sums, sizeof(float) * kTileColumns);
    }
  }

  const CorrelationArgs& args_;
  const Geometry& size_;
  float* ring_;  // [ring_rows][tiles of a strip][channels][kTileColumns]
  float* f2_;    // [channels][f2_stride]
  float* sums_;  // [kTileRows][side][kTileColumns], where the output cannot be written directly
  float* run_;   // warped rows of f2, see run_view
  std::int64_t image_ = 0;
  std::int64_t begin_ = 0, end_ = 0;        // columns of the strip
  std::int64_t f2_begin_ = 0, f2_end_ = 0;  // columns of f2 that it meets
  std::int64_t tasks_left_ = 0;
  std::int64_t next_row_ = 0;                 // of f1 that is not in the ring yet
  std::int64_t run_begin_ = 0, run_end_ = 0;  // rows in the run
};

}  // namespace

std::int64_t correlation_workspace(const CorrelationArgs& args, int threads) noexcept {
  return Geometry(args).workspace_floats() * threads * sizeof(float);
}

Status correlation_cpu(const CorrelationArgs& args, const Executor& executor) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  if (reinterpret_cast<std::uintptr_t>(args.workspace) % kAlignment != 0 ||
      args.workspace == nullptr) {
    return failure(Status::Code::kArgument, "a workspace aligned to 64 bytes", "%p",
                   args.workspace);
  }
  const Geometry geometry(args);
  const std::int64_t tasks =
      args.f1.sizes[0] * geometry.strips * (geometry.height + 2 * geometry.reach);
  const std::int64_t task_cost = geometry.f1_row * geometry.side * geometry.side / 8;
  const std::int64_t bands = band_count(tasks, task_cost, executor);
  for_each_band(
      tasks, bands, executor, [&](std::int64_t band, std::int64_t first, std::int64_t last) {
        float* workspace = static_cast<float*>(args.workspace) + band * geometry.workspace_floats();
        Walk(args, geometry, workspace).run(first, last);
      });
  return status;
}

}  // namespace cineflow
