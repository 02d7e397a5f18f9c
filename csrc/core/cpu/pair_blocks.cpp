// Statistics of a pair over blocks.
//
// Problem: as separate passes over the image (warp, mask, gradient, ten products, their sums), the
// statistics cost as much as the tracker.
//
// Solution: a band holds 18 rows of the pair in its workspace: one row of blocks and a row above
// and below. They fit into the L2 cache, each pixel is warped once, and each block is summed in
// registers. Sums over neighbouring blocks follow at the end; they are a few hundred numbers.
#include "cineflow/pair_blocks.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <utility>

#include "cpu/bands.h"
#include "cpu/runs.h"
#include "cpu/workspace.h"
#include "math/pair_blocks.h"

namespace cineflow {
namespace {

/// Work on one pixel, in elements touched; see band_count().
constexpr std::int64_t kPixelCost = 4;
/// Floats before the first and after the last pixel of a row: a vector, and more than a neighbour.
constexpr std::int64_t kPadding = 16;
constexpr int kRowArrays = 4;

std::int64_t round_up(std::int64_t value, std::int64_t step) {
  return (value + step - 1) / step * step;
}

/// How an image is cut into blocks, and floats of one padded row.
struct Grid : BlockGrid {
  std::int64_t pitch;

  explicit Grid(const TensorView& flow) : BlockGrid(block_grid(flow.sizes[1], flow.sizes[2])) {
    pitch = round_up(width, kPadding) + 2 * kPadding;
  }

  std::int64_t buffer_floats() const { return (block_height + 2) * kRowArrays * pitch; }
};

/// The workspace: sums of each row, sums of each block, and the padded rows of each band.
struct Workspace {
  float* row_sums;       // [height][2]
  PairBlockSums* block;  // [rows][columns]
  float* buffers;        // [bands][buffer_floats]

  Workspace(const Grid& grid, void* memory) {
    auto* bytes = static_cast<char*>(memory);
    row_sums = reinterpret_cast<float*>(bytes);
    bytes += round_up(grid.height * 2 * sizeof(float), 64);
    block = reinterpret_cast<PairBlockSums*>(bytes);
    bytes += round_up(grid.rows * grid.columns * sizeof(PairBlockSums), 64);
    buffers = reinterpret_cast<float*>(bytes);
  }
};

/// Which of the inputs have a value that is not finite.
struct NotFinite {
  std::atomic<bool> previous{false}, current{false}, flow{false};
};

TensorView as_images(const TensorView& view, std::int64_t channels) {
  TensorView images = view;
  const std::int64_t channel_stride = view.rank == 3 ? view.strides[0] : 0;
  const int rows = view.rank - 2;
  images.rank = 4;
  const std::int64_t sizes[4] = {1, channels, view.sizes[rows], view.sizes[rows + 1]};
  const std::int64_t strides[4] = {0, channel_stride, view.strides[rows], view.strides[rows + 1]};
  std::copy(sizes, sizes + 4, images.sizes);
  std::copy(strides, strides + 4, images.strides);
  return images;
}

/// The rows of blocks of one band.
class Band {
 public:
  Band(const PairBlocksArgs& args, const Grid& grid, const Workspace& workspace, float* buffer,
       NotFinite& not_finite) noexcept
      : args_(args),
        grid_(grid),
        workspace_(workspace),
        buffer_(buffer),
        not_finite_(not_finite),
        current_(as_images(args.current, 1)),
        flow_(as_images(args.flow, 2)) {}

  void run(std::int64_t first, std::int64_t last) noexcept {
    own_first_ = first * grid_.block_height;
    own_last_ = last == grid_.rows ? grid_.height : last * grid_.block_height;
    std::memset(buffer_, 0, grid_.buffer_floats() * sizeof(float));
    const std::int64_t side = grid_.block_height;
    for (std::int64_t row = first; row < last; ++row) {
      if (row == first) {
        fill(0, row * side - 1);
        fill(1, row * side);
      } else {  // the last two rows of the blocks above
        std::memcpy(buffer_, buffer_ + side * row_floats(), 2 * row_floats() * sizeof(float));
      }
      for (std::int64_t slot = 2; slot < side + 2; ++slot) fill(slot, row * side - 1 + slot);
      for (std::int64_t column = 0; column < grid_.columns; ++column) {
        kernels().sum_pair_block(block_at(row, column));
        flow_of_block(row, column);
      }
      deformation_of_row(row);
    }
    // Rows after the last block count for the frame's mean only. The first of them is filled.
    for (std::int64_t y = last * side + 1; y < own_last_; ++y) fill(side + 1, y);
  }

 private:
  std::int64_t row_floats() const noexcept { return kRowArrays * grid_.pitch; }

  /// Pixel 0 of one of the four arrays of a buffered row.
  float* row_of(std::int64_t slot, int array) noexcept {
    return buffer_ + slot * row_floats() + array * grid_.pitch + kPadding;
  }

  /// Notes values of row `y` that are not finite.
  void check_values(std::int64_t y) noexcept {
    check_row(args_.previous, 0, y, not_finite_.previous);
    check_row(args_.current, 0, y, not_finite_.current);
    check_row(args_.flow, 0, y, not_finite_.flow);
    check_row(args_.flow, args_.flow.strides[0], y, not_finite_.flow);
  }

  void check_row(const TensorView& view, std::int64_t offset, std::int64_t y,
                 std::atomic<bool>& flag) noexcept {
    if (view.dtype != DType::kF32) return;
    const float* row = floats_at(view, offset + y * view.strides[view.rank - 2]);
    const bool finite = kernels().all_finite(row, DType::kF32, grid_.width);
    if (!finite) flag.store(true, std::memory_order_relaxed);
  }

  /// Row `y` of the pair into a slot of the buffer; a row outside the image is not in use.
  void fill(std::int64_t slot, std::int64_t y) noexcept {
    if (y < 0 || y >= grid_.height) {
      std::memset(buffer_ + slot * row_floats(), 0, row_floats() * sizeof(float));
      return;
    }
    const bool own = y >= own_first_ && y < own_last_;  // other rows are another band's
    if (own) check_values(y);
    float* warped = row_of(slot, 1);
    TensorView out;
    out.data = warped;
    out.rank = 4;
    out.strides[3] = 1;
    PositionScratch scratch;
    for_each_part(grid_.width, [&](std::int64_t column, int columns) {
      const SampleRun run = make_run(current_, 0, Border::kClamp, out, column, columns);
      sample_run(run, positions_along_flow(flow_, 0, y, 1, column, columns, scratch));
    });
    float sums[2];
    PairRow row{};
    row.previous = at(args_.previous, y * args_.previous.strides[0]);
    row.previous_dtype = args_.previous.dtype;
    row.warped = warped;
    if (args_.mask.rank != 0) {
      row.mask = static_cast<const std::uint8_t*>(at(args_.mask, y * args_.mask.strides[0]));
    }
    row.count = static_cast<int>(grid_.width);
    row.a = row_of(slot, 0);
    row.twice = row_of(slot, 2);
    row.inside = row_of(slot, 3);
    row.sums = own ? workspace_.row_sums + 2 * y : sums;
    kernels().prepare_pair_row(row);
  }

  PairBlock block_at(std::int64_t row, std::int64_t column) noexcept {
    const std::int64_t x = column * grid_.block_width;
    PairBlock block{};
    block.a = row_of(1, 0) + x;
    block.b = row_of(1, 1) + x;
    block.twice = row_of(1, 2) + x;
    block.inside = row_of(1, 3) + x;
    block.pitch = row_floats();
    block.rows = static_cast<int>(grid_.block_height);
    block.sums = workspace_.block + row * grid_.columns + column;
    return block;
  }

  float& out_of(int field, std::int64_t row, std::int64_t column) noexcept {
    const std::int64_t* strides = args_.out.strides;
    return static_cast<float*>(
        args_.out.data)[field * strides[0] + row * strides[1] + column * strides[2]];
  }

  void flow_of_block(std::int64_t row, std::int64_t column) noexcept {
    const std::int64_t pitch = args_.flow.strides[1];
    const double pixels = static_cast<double>(grid_.block_height * grid_.block_width);
    for (int axis = 0; axis < 2; ++axis) {
      const float* first =
          floats_at(args_.flow, axis * args_.flow.strides[0] + row * grid_.block_height * pitch +
                                    column * grid_.block_width);
      const double sum = kernels().sum_block(first, pitch, static_cast<int>(grid_.block_height),
                                             static_cast<int>(grid_.block_width));
      out_of(kFlowX + axis, row, column) = static_cast<float>(sum / pixels);
    }
  }

  /// Gradient of the flow at every fourth pixel.
  void deformation_of_row(std::int64_t row) noexcept {
    const GradientAxis down = gradient_axis(grid_.block_height, grid_.rows);
    const GradientAxis right = gradient_axis(grid_.block_width, grid_.columns);
    const bool defined = down.count > 1 && right.count > 1;
    const double share = 1.0 / static_cast<double>(down.per_block * right.per_block);
    for (std::int64_t column = 0; column < grid_.columns; ++column) {
      double norm = 0.0;
      int folded = 0;
      for (std::int64_t i = 0; defined && i < down.per_block; ++i) {
        const FlowNeighbours y = flow_neighbours(down, row * down.per_block + i);
        for (std::int64_t j = 0; j < right.per_block; ++j) {
          const FlowNeighbours x = flow_neighbours(right, column * right.per_block + j);
          const Deformation found = deformation_at(args_.flow, y, x);
          norm += found.norm;
          folded += found.folded;
        }
      }
      out_of(kDeformation, row, column) = static_cast<float>(norm * share);
      out_of(kFolded, row, column) = static_cast<float>(folded * share);
    }
  }

  const PairBlocksArgs& args_;
  const Grid& grid_;
  const Workspace& workspace_;
  float* buffer_;
  NotFinite& not_finite_;
  TensorView current_, flow_;
  std::int64_t own_first_ = 0, own_last_ = 0;  // image rows of this band
};

/// What follows from the sums of all blocks: means, and sums over neighbours.
void finish(const PairBlocksArgs& args, const Grid& grid, const Workspace& workspace) noexcept {
  double frame[2] = {};
  for (std::int64_t y = 0; y < grid.height; ++y) {
    frame[0] += workspace.row_sums[2 * y];
    frame[1] += workspace.row_sums[2 * y + 1];
  }
  const double pixels = static_cast<double>(grid.height * grid.width);
  for (double& sum : frame) sum /= pixels;
  for (std::int64_t row = 0; row < grid.rows; ++row) {
    for (std::int64_t column = 0; column < grid.columns; ++column) {
      float fields[kSummedFields];
      summed_fields(grid, workspace.block, row, column, frame, fields);
      float* out = static_cast<float*>(args.out.data) + row * args.out.strides[1] +
                   column * args.out.strides[2];
      for (int field = 0; field < kSummedFields; ++field) {
        out[field * args.out.strides[0]] = fields[field];
      }
    }
  }
}

std::int64_t band_count_of(const Grid& grid, const Executor& executor) noexcept {
  return band_count(grid.rows, grid.block_height * grid.width * kPixelCost, executor);
}

}  // namespace

std::int64_t pair_blocks_workspace(const PairBlocksArgs& args, int threads) noexcept {
  const Grid grid(args.flow);
  const std::int64_t bands = std::min<std::int64_t>(grid.rows, std::max(threads, 1));
  return round_up(grid.height * 2 * sizeof(float), 64) +
         round_up(grid.rows * grid.columns * sizeof(PairBlockSums), 64) +
         bands * grid.buffer_floats() * static_cast<std::int64_t>(sizeof(float));
}

std::int64_t pair_blocks_cuda_workspace(const PairBlocksArgs& args) noexcept {
  const BlockGrid grid = block_grid(args.flow.sizes[1], args.flow.sizes[2]);
  return grid.rows * grid.columns * static_cast<std::int64_t>(sizeof(PairBlockSums)) +
         grid.height * static_cast<std::int64_t>(sizeof(PairRowSums));
}

Status pair_blocks_cpu(const PairBlocksArgs& args, const Executor& executor) noexcept {
  Status status = check(args);
  if (status.ok()) status = check_workspace(args.workspace);
  if (!status.ok()) return status;
  const Grid grid(args.flow);
  const Workspace workspace(grid, args.workspace);
  NotFinite not_finite;
  const std::int64_t bands = band_count_of(grid, executor);
  for_each_band(grid.rows, bands, executor,
                [&](std::int64_t band, std::int64_t first, std::int64_t last) {
                  float* buffer = workspace.buffers + band * grid.buffer_floats();
                  Band(args, grid, workspace, buffer, not_finite).run(first, last);
                });
  for (const auto& [flag, wanted] : {std::pair<const std::atomic<bool>&, const char*>{
                                         not_finite.previous, "previous: finite values"},
                                     {not_finite.current, "current: finite values"},
                                     {not_finite.flow, "flow: finite values"}}) {
    if (flag.load()) return failure(Status::Code::kArgument, wanted, "NaN or infinite values");
  }
  finish(args, grid, workspace);
  return status;
}

}  // namespace cineflow
