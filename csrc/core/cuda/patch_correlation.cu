// Correlation of patches on the GPU.
//
// A block computes a tile of cells of f1 by cells of f2, for one point of one target. For a few
// channels at a time it samples the cells of the tile into shared memory. A thread holds the sums
// of kOwn cells of f1 with one cell of f2 in registers. Nothing else is stored.
#include "cineflow/patch_correlation.h"
#include "cuda/launch.h"
#include "cuda/shared_memory.h"
#include "math/dispatch.h"
#include "math/patch_cell.h"

namespace cineflow {
namespace {

constexpr int kTile = 32;      // cells of a tile, of f1 and of f2
constexpr int kThreads = 256;  // kTile columns
constexpr int kOwn = kTile * kTile / kThreads;
constexpr int kChannels = 16;  // in shared memory at a time
constexpr int kThreadRows = kThreads / kTile;

/// The cells of a patch along one axis, in shared memory.
struct SharedAxis {
  std::int32_t first[kMaxPatch];
  std::int32_t count[kMaxPatch];
  float weights[3 * kMaxPatch];  // weights[at * cells + cell], see cell_run()
};

struct Shared {
  SharedAxis axes[4];  // x and y of f1, x and y of f2
  float first[kChannels][kTile];
  float second[kChannels][kTile];
};

/// The pixels of one cell and their weights.
template <typename T>
struct Cell {
  const T* pixels;  // the first one, in the first channel
  const float* row_weights;
  const float* column_weights;
  int rows, columns;  // of pixels; 0 where the cell reads nothing, or does not exist
  int step;           // from one weight to the next
  std::int32_t row_stride, column_stride;

  /// The mean of the cell, `offset` elements after the first channel.
  __device__ float sample(std::int64_t offset) const {
    const T* line = pixels + offset;
    float sum = 0.0f;
#pragma unroll 1
    for (int row = 0; row < rows; ++row) {
      float own = 0.0f;
      for (int column = 0; column < columns; ++column) {
        own += column_weights[column * step] * to_float(line[column * column_stride]);
      }
      sum += row_weights[row * step] * own;
      line += row_stride;
    }
    return sum;
  }
};

/// Cell number `cell` of a patch with `cells` cells along a side. `axes` are its x and y.
template <typename T>
__device__ Cell<T> cell_of(const TensorView& map, std::int64_t image, const SharedAxis* axes,
                           int cell, int cells) {
  const bool exists = cell < cells * cells;
  const int row = exists ? cell / cells : 0;
  const int column = exists ? cell % cells : 0;
  const auto row_stride = static_cast<std::int32_t>(map.strides[2]);
  const auto column_stride = static_cast<std::int32_t>(map.strides[3]);
  const std::int64_t start =
      axes[1].first[row] * row_stride + axes[0].first[column] * column_stride;
  return {static_cast<const T*>(map.data) + image * map.strides[0] + start,
          axes[1].weights + row,
          axes[0].weights + column,
          exists ? axes[1].count[row] : 0,
          axes[0].count[column],
          cells,
          row_stride,
          column_stride};
}

/// Fills one cell of one axis. Each thread of a block fills at most one.
__device__ inline void find_cell(const PatchCorrelationArgs& args, std::int64_t reference,
                                 std::int64_t image, std::int64_t point, SharedAxis* axes) {
  const int axis = static_cast<int>(threadIdx.x) / kMaxPatch;  // as in Shared
  const int cell = static_cast<int>(threadIdx.x) % kMaxPatch;
  const bool second = axis >= 2;
  const int size = second ? args.size2 : args.size1;
  const int pool = second ? args.pool2 : args.pool1;
  const int cells = size / pool;
  if (cell >= cells) return;
  const TensorView& points = second ? args.points2 : args.points1;
  const TensorView& map = second ? args.f2 : args.f1;
  const bool along_y = axis % 2 != 0;
  const float at = static_cast<const float*>(
      points.data)[(second ? image : reference) * points.strides[0] + point * points.strides[1] +
                   (along_y ? points.strides[2] : 0)];
  const auto length = static_cast<std::int32_t>(map.sizes[along_y ? 2 : 3]);
  const PixelRun run =
      cell_run(at, cell, size, pool, length, args.border, axes[axis].weights + cell, cells);
  axes[axis].first[cell] = run.first;
  axes[axis].count[cell] = run.count;
}

static_assert(kThreads == 4 * kMaxPatch, "find_cell() has a thread per cell of each axis");

/// blockIdx.x counts the tiles of a result, blockIdx.y the points of all targets.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    correlate_patches(PatchCorrelationArgs args, int tiles_across) {
  auto& shared = *reinterpret_cast<Shared*>(shared_memory);
  const TensorView& out = args.out;
  const auto thread = static_cast<int>(threadIdx.x);
  const int column = thread % kTile;
  const int row = thread / kTile;
  const auto rows = static_cast<int>(out.sizes[2]);
  const auto columns = static_cast<int>(out.sizes[3]);
  const int first_row = static_cast<int>(blockIdx.x) / tiles_across * kTile;
  const int first_column = static_cast<int>(blockIdx.x) % tiles_across * kTile;
  const std::int64_t targets = args.f2.sizes[0] / args.f1.sizes[0];

  for (std::int64_t task = blockIdx.y; task < out.sizes[0] * out.sizes[1]; task += gridDim.y) {
    const std::int64_t image = task / out.sizes[1];
    const std::int64_t point = task % out.sizes[1];
    const std::int64_t reference = image / targets;
    __syncthreads();  // the task before this one has read its cells
    find_cell(args, reference, image, point, shared.axes);
    __syncthreads();
    // A thread samples the same cell of both tiles in every round.
    const auto first =
        cell_of<T>(args.f1, reference, shared.axes, first_row + column, args.size1 / args.pool1);
    const auto second =
        cell_of<T>(args.f2, image, shared.axes + 2, first_column + column, args.size2 / args.pool2);

    float sums[kOwn] = {};
    for (std::int64_t begin = 0; begin < args.f1.sizes[1]; begin += kChannels) {
      if (begin > 0) __syncthreads();  // the channels before these have been read
#pragma unroll 1
      for (int slot = row; slot < kChannels; slot += kThreadRows) {
        const std::int64_t channel = begin + slot;
        const bool exists = channel < args.f1.sizes[1];
        shared.first[slot][column] = exists ? first.sample(channel * args.f1.strides[1]) : 0.0f;
        shared.second[slot][column] = exists ? second.sample(channel * args.f2.strides[1]) : 0.0f;
      }
      __syncthreads();
#pragma unroll 8
      for (int channel = 0; channel < kChannels; ++channel) {
        const float own = shared.second[channel][column];
#pragma unroll
        for (int at = 0; at < kOwn; ++at) {
          sums[at] += shared.first[channel][row + at * kThreadRows] * own;
        }
      }
    }
    if (first_column + column >= columns) continue;
#pragma unroll
    for (int at = 0; at < kOwn; ++at) {
      const int to = first_row + row + at * kThreadRows;
      if (to >= rows) continue;
      const std::int64_t offset = image * out.strides[0] + point * out.strides[1] +
                                  to * out.strides[2] + (first_column + column) * out.strides[3];
      const float value = args.scale * sums[at];
      switch (out.dtype) {
        case DType::kF16:
          static_cast<Half*>(out.data)[offset] = from_float<Half>(value);
          break;
        case DType::kBF16:
          static_cast<BFloat16*>(out.data)[offset] = from_float<BFloat16>(value);
          break;
        default:
          static_cast<float*>(out.data)[offset] = value;
      }
    }
  }
}

}  // namespace

Status patch_correlation_cuda(const PatchCorrelationArgs& args, void* stream) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const TensorView& out = args.out;
  const std::int64_t across = ceil_div(out.sizes[3], kTile);
  Grid grid;
  grid.threads = dim3(kThreads);
  grid.blocks = dim3(static_cast<unsigned>(across * ceil_div(out.sizes[2], kTile)),
                     grid_y(out.sizes[0] * out.sizes[1]));
  grid.shared_bytes = sizeof(Shared);
  return with_float_storage(args.f1.dtype, [&](auto storage) {
    using T = typename decltype(storage)::type;
    return launch("patch_correlation", grid, out.device_index, stream, correlate_patches<T>, args,
                  static_cast<int>(across));
  });
}

}  // namespace cineflow
