// Local correlation on the CPU.
//
// Problem: each output pixel reads (2r + 1)^2 neighbours in every channel. Memory and the caches
// would be the limit, and every storage type, stride, border and warp would need a kernel.
//
// Solution: the loop runs over rows of f2, not of the output. A task is one row of f2, which is
// correlated with the 2r + 1 rows of f1 around it. Those rows are kept in a ring: the next row of
// f2 needs one new row of f1. Rows are packed to f32 in one layout, so the register block
// (simd/correlation.cpp) handles only that layout. They are packed over their whole width, which
// reads memory in order, or in strips of columns where the ring would be too large. With a flow,
// several rows of f2 are warped at once into a buffer and packed from there.
#include "cineflow/correlation.h"

#include <cstring>

#include "cpu/chunks.h"
#include "cpu/correlation_volume.h"
#include "cpu/packing.h"
#include "cpu/runs.h"
#include "cpu/workspace.h"
#include "math/dispatch.h"

namespace cineflow {
namespace {

/// Most floats in one thread's ring, where a strip is wider than one tile.
constexpr std::int64_t kRingFloats = std::int64_t{1} << 20;

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
    f2_stride = channel_spacing(strip + 2 * reach);
    if (!args.warps() || width == 0) return;
    const std::int64_t columns = std::min(width, strip + 2 * reach);
    warped_rows = std::min(height, std::max<std::int64_t>(1, kMaxRun / columns));
    warped_stride = channel_spacing(warped_rows * columns);
  }

  std::int64_t workspace_floats() const {
    return ring_rows * f1_row + channels * (f2_stride + warped_stride) +
           kTileRows * side * kTileColumns;
  }

  std::int64_t channels, height, width;
  std::int64_t side;               // displacements along one axis
  std::int64_t reach;              // the largest displacement, in pixels
  std::int64_t ring_rows;          // rows of f1 that are correlated with one row of f2
  std::int64_t f1_tile;            // floats of a tile in a packed row of f1
  std::int64_t strip;              // columns of one strip, whole tiles
  std::int64_t strips;             // strips across the width
  std::int64_t f1_row;             // floats of a packed row of f1
  std::int64_t f2_stride;          // floats per channel of the packed row of f2
  std::int64_t warped_rows = 0;    // rows of f2 that are warped at once
  std::int64_t warped_stride = 0;  // floats per channel of the warped rows
};

/// One band's share of the tasks.
class BandWorker {
 public:
  BandWorker(const CorrelationArgs& args, const Geometry& geometry, float* workspace)
      : args_(args),
        size_(geometry),
        ring_(workspace),
        f2_(ring_ + size_.ring_rows * size_.f1_row),
        sums_(f2_ + size_.channels * size_.f2_stride),
        warped_(sums_ + kTileRows * size_.side * kTileColumns) {}

  void run(std::int64_t first, std::int64_t last) {
    const std::int64_t rows = size_.height + 2 * size_.reach;  // of f2, including the rows outside
    for (std::int64_t task = first; task < last; ++task) {
      if (task / rows != strip_) start_strip(task / rows);
      tasks_left_ = last - task;
      correlate_row(task % rows - size_.reach);
    }
  }

 private:
  void start_strip(std::int64_t index) {
    strip_ = index;
    image_ = index / size_.strips;
    begin_ = index % size_.strips * size_.strip;
    end_ = std::min(size_.width, begin_ + size_.strip);
    f2_begin_ = std::max<std::int64_t>(0, begin_ - size_.reach);
    f2_end_ = std::min(size_.width, end_ + size_.reach);
    next_row_ = 0;
    warped_end_ = 0;
    // No row fills the columns outside the image: they stay 0.
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
    kernels().pack_row({from, f1.dtype, f1.strides[1], f1.strides[3], size_.channels, end_ - begin_,
                        ring_row(row), kTileColumns, size_.f1_tile});
  }

  /// Row `row` of f2, or of the warped f2.
  void pack_f2(std::int64_t row) {
    if (args_.warps()) {
      if (row >= warped_end_) warp_from(row);
      const TensorView warped = warped_view();
      pack_f2(warped, at(warped, (row - warped_begin_) * warped.strides[2]));
    } else {
      const TensorView& f2 = args_.f2;
      pack_f2(f2, at(f2, image_ * f2.strides[0] + row * f2.strides[2] + f2_begin_ * f2.strides[3]));
    }
  }

  void pack_f2(const TensorView& f2, const void* from) {
    kernels().pack_row({from, f2.dtype, f2.strides[1], f2.strides[3], size_.channels,
                        f2_end_ - f2_begin_, f2_ + (f2_begin_ - (begin_ - size_.reach)),
                        size_.f2_stride, kTileColumns});
  }

  /// The warped rows, with channels last where f2 has channels last: the fastest layout to warp to.
  TensorView warped_view() const {
    const bool channels_last = args_.f2.strides[1] == 1;
    const std::int64_t step = channels_last ? size_.channels : 1;
    TensorView warped;
    warped.data = warped_;
    warped.strides[1] = channels_last ? 1 : size_.warped_stride;
    warped.strides[2] = (f2_end_ - f2_begin_) * step;
    warped.strides[3] = step;
    return warped;
  }

  /// Warps the rows of f2 from `row` on, as many as fit, but not beyond this band's last task.
  void warp_from(std::int64_t row) {
    const std::int64_t rows = std::min({size_.warped_rows, size_.height - row, tasks_left_});
    const TensorView warped = warped_view();
    PositionScratch scratch;
    for_each_part(f2_end_ - f2_begin_, [&](std::int64_t first, int columns) {
      const SampleRun run = make_run(args_.f2, image_, args_.border, warped,
                                     first * warped.strides[3], static_cast<int>(rows) * columns);
      sample_run(run, positions_along_flow(args_.flow, image_, row, rows, f2_begin_ + first,
                                           columns, scratch));
    });
    warped_begin_ = row;
    warped_end_ = row + rows;
  }

  /// All outputs that row `f2_row` of f2 contributes to.
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
    const bool direct = out.dtype == DType::kF32 && out.strides[3] == 1;
    std::int64_t offsets[kTileRows];
    CorrelationTile tile{};
    for (int index = 0; index < count; ++index) {
      offsets[index] = image_ * out.strides[0] + shifts[index] * y_stride +
                       rows[index] * out.strides[2] + column * out.strides[3];
      tile.f1[index] = ring_row(rows[index]) + (column - begin_) * size_.channels;
      tile.out[index] = direct ? static_cast<float*>(at(out, offsets[index]))
                               : sums_ + index * size_.side * kTileColumns;
    }
    tile.rows = count;
    tile.columns = static_cast<int>(columns);
    tile.out_stride = direct ? x_stride : kTileColumns;
    if (inside) {
      tile.f2 = f2_ + (column - begin_);
      tile.f2_stride = size_.f2_stride;
      tile.channels = size_.channels;
      tile.shifts = static_cast<int>(size_.side);
      tile.step = args_.dilation;
      tile.scale = args_.scale;
      kernels().correlate(tile);
    } else {
      for (int index = 0; index < count; ++index) {
        correlate_with_zeros(tile.f1[index], columns, tile.out[index], tile.out_stride);
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

  /// A tile of a row of f1 with a row of zeros, for every shift: 0, or NaN where a feature is
  /// infinite or NaN.
  void correlate_with_zeros(const float* f1, std::int64_t columns, float* out,
                            std::int64_t out_stride) {
    float sums[kTileColumns] = {};
    if (!kernels().all_finite(f1, DType::kF32, size_.f1_tile)) {
      for (std::int64_t channel = 0; channel < size_.channels; ++channel) {
        for (std::int64_t column = 0; column < kTileColumns; ++column) {
          sums[column] += f1[channel * kTileColumns + column] * 0.0f;
        }
      }
    }
    for (std::int64_t shift = 0; shift < size_.side; ++shift) {
      std::memcpy(out + shift * out_stride, sums, sizeof(float) * columns);
    }
  }

  const CorrelationArgs& args_;
  const Geometry& size_;
  float* ring_;  // [ring_rows][tiles of a strip][channels][kTileColumns]
  float* f2_;    // [channels][f2_stride]
  float*
      sums_;  // [kTileRows][side][kTileColumns], used where the output cannot be written directly
  float* warped_;            // rows of f2, see warped_view
  std::int64_t strip_ = -1;  // counted through the batch
  std::int64_t image_ = 0;
  std::int64_t begin_ = 0, end_ = 0;        // columns of the strip
  std::int64_t f2_begin_ = 0, f2_end_ = 0;  // columns of f2 that the strip reads
  std::int64_t tasks_left_ = 0;
  std::int64_t next_row_ = 0;  // the next row of f1 that is not in the ring yet
  std::int64_t warped_begin_ = 0, warped_end_ = 0;  // rows that are in warped_
};

/// More channels than memory holds; with fewer, no product of `Geometry` can overflow.
constexpr std::int64_t kChannelLimit = std::int64_t{1} << 28;
constexpr std::int64_t kVolumeElementLimit = std::int64_t{1} << 40;

/// Whether the sizes of `Geometry` are safe to compute, for arguments that nothing has checked yet.
bool has_geometry(const CorrelationArgs& args) {
  const TensorView& f1 = args.f1;
  const bool volume = f1.rank == kVolumeRank;
  if (!(volume || f1.rank == kImageRank) || !(args.radius >= 0 && args.radius <= kMaxRadius) ||
      !(args.dilation >= 1 && args.dilation <= kMaxDilation)) {
    return false;
  }
  std::int64_t pixels = 1;
  for (int axis = 0; axis < f1.rank; ++axis) {
    const std::int64_t size = f1.sizes[axis];
    if (size != args.f2.sizes[axis]) return false;
    if (axis >= 2 && !(size > 0 && size < kSideLimit)) return false;
    if (axis >= 2 && volume && (pixels *= size) >= kPlaneLimit) return false;
  }
  return f1.sizes[0] > 0 && f1.sizes[1] < kChannelLimit &&
         !(volume && f1.sizes[1] * pixels >= kVolumeElementLimit);
}

}  // namespace

std::int64_t correlation_workspace(const CorrelationArgs& args, int threads) noexcept {
  if (!has_geometry(args)) return 0;
  if (args.f1.rank == kVolumeRank) {
    return volume_workspace_floats(args) * threads * sizeof(float);
  }
  return Geometry(args).workspace_floats() * threads * sizeof(float);
}

Status correlation_cpu(const CorrelationArgs& args, const Executor& executor) noexcept {
  Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  status = check_workspace(args.workspace);
  if (!status.ok()) return status;
  if (args.f1.rank == kVolumeRank) {
    correlate_volumes(args, executor);
    return status;
  }
  const Geometry geometry(args);
  const std::int64_t tasks =
      args.f1.sizes[0] * geometry.strips * (geometry.height + 2 * geometry.reach);
  const std::int64_t task_cost = geometry.f1_row * geometry.side * geometry.side / 8;
  const std::int64_t bands = band_count(tasks, task_cost, executor);
  // The first row of a chunk packs a whole ring of f1.
  for_each_chunk(
      tasks, bands, geometry.ring_rows, executor, [&](std::int64_t band, Chunks& chunks) {
        float* workspace = static_cast<float*>(args.workspace) + band * geometry.workspace_floats();
        BandWorker worker(args, geometry, workspace);
        while (chunks.take()) worker.run(chunks.first(), chunks.last());
      });
  return status;
}

}  // namespace cineflow
