// Statistics of a pair over blocks on the GPU, in three launches.
//
// The first sums whole rows of the pair and looks for values that are not finite. In the second,
// each block of pixels is a block of threads. Its pixels and one more on each side are in shared
// memory, warped once. Sums run down the columns in f32 and across them in f64, as on the CPU. The
// third sums over neighbouring blocks. Every sum has one order, so two runs give the same bits.
#include "cineflow/pair_blocks.h"
#include "cuda/corners.h"
#include "cuda/launch.h"
#include "cuda/shared_memory.h"
#include "math/pair_blocks.h"

namespace cineflow {
namespace {

constexpr int kSide = static_cast<int>(kPairBlock);
constexpr int kThreads = kSide * kSide;  // one per pixel of a block
constexpr int kHalo = kSide + 2;
constexpr int kTile = kHalo * kHalo;
constexpr int kRowThreads = 128;
constexpr int kProducts = 6;
/// Sums of the first pass over a block: pixels in use, both frames, and both parts of the flow.
constexpr int kFirstSums = 5;
constexpr int kGivenArrays = 4;  // of the tile
constexpr int kPixelArrays = 4;  // of the block: both frames less their means, and the gradient

/// Bits of `PairRowSums::mark`.
enum Mark : std::int32_t { kPrevious = 1, kCurrent = 2, kFlow = 4 };

struct Pair {
  PairBlocksArgs args;
  BlockGrid grid;
  PairBlockSums* blocks;  // [rows][columns]
  PairRowSums* rows;      // [height]
};

struct Pixel {
  float a, b, inside;
};

__device__ float grey_at(const TensorView& view, std::int64_t offset) {
  return view.dtype == DType::kU8 ? to_float(static_cast<const std::uint8_t*>(view.data)[offset])
                                  : static_cast<const float*>(view.data)[offset];
}

__device__ float flow_at(const PairBlocksArgs& args, int axis, std::int64_t y, std::int64_t x) {
  return static_cast<const float*>(
      args.flow.data)[axis * args.flow.strides[0] + y * args.flow.strides[1] + x];
}

/// A pixel of the previous frame, and the same of the current one warped back.
__device__ Pixel pixel_at(const Pair& pair, int y, int x) {
  const PairBlocksArgs& args = pair.args;
  const TensorView& current = args.current;
  const auto column = tap_at(static_cast<float>(x) + flow_at(args, 0, y, x),
                             static_cast<std::int32_t>(pair.grid.width), Border::kClamp);
  const auto row = tap_at(static_cast<float>(y) + flow_at(args, 1, y, x),
                          static_cast<std::int32_t>(pair.grid.height), Border::kClamp);
  const Corners corners = corners_of(row, column, static_cast<std::int32_t>(current.strides[0]), 1);
  const float b = current.dtype == DType::kU8
                      ? sample_corners(static_cast<const std::uint8_t*>(current.data), corners)
                      : sample_corners(static_cast<const float*>(current.data), corners);
  const float a = grey_at(args.previous, y * args.previous.strides[0] + x);
  bool inside = a > 0.0f || b > 0.0f;
  if (args.mask.rank != 0) {
    inside = static_cast<const std::uint8_t*>(args.mask.data)[y * args.mask.strides[0] + x] != 0;
  }
  return {a, b, inside ? 1.0f : 0.0f};
}

__device__ bool is_finite(float value) { return value - value == 0.0f; }

/// Both frames summed over a row, and the row's mark.
__global__ void __launch_bounds__(kRowThreads) sum_pair_row(Pair pair) {
  auto* sums = reinterpret_cast<float*>(shared_memory);  // [2][kRowThreads]
  auto* marks = reinterpret_cast<std::int32_t*>(sums + 2 * kRowThreads);
  const PairBlocksArgs& args = pair.args;
  const auto y = static_cast<int>(blockIdx.x);
  const auto thread = static_cast<int>(threadIdx.x);
  float sum_a = 0.0f, sum_b = 0.0f;
  std::int32_t mark = 0;
  for (int x = thread; x < pair.grid.width; x += kRowThreads) {
    const Pixel pixel = pixel_at(pair, y, x);
    sum_a += pixel.a;
    sum_b += pixel.b;
    if (!is_finite(pixel.a)) mark |= kPrevious;
    if (!is_finite(grey_at(args.current, y * args.current.strides[0] + x))) mark |= kCurrent;
    if (!is_finite(flow_at(args, 0, y, x)) || !is_finite(flow_at(args, 1, y, x))) mark |= kFlow;
  }
  sums[thread] = sum_a;
  sums[kRowThreads + thread] = sum_b;
  marks[thread] = mark;
  for (int half = kRowThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half) {
      sums[thread] += sums[thread + half];
      sums[kRowThreads + thread] += sums[kRowThreads + thread + half];
      marks[thread] |= marks[thread + half];
    }
  }
  if (thread == 0) pair.rows[y] = {sums[0], sums[kRowThreads], marks[0]};
}

/// The shared memory of a block of pixels.
struct BlockMemory {
  double* totals;  // [kFirstSums], then means of both frames
  float* a;        // [kTile], and so are the next three
  float* b;
  float* twice;  // a + b
  float* inside;
  float* pixels;       // [kPixelArrays][kThreads]
  float* columns;      // [kProducts][kSide]
  float* deformation;  // [2][kThreads]

  __device__ BlockMemory()
      : totals(reinterpret_cast<double*>(shared_memory)),
        a(reinterpret_cast<float*>(totals + kFirstSums + 2)),
        b(a + kTile),
        twice(b + kTile),
        inside(twice + kTile),
        pixels(inside + kTile),
        columns(pixels + kPixelArrays * kThreads),
        deformation(columns + kProducts * kSide) {}

  static constexpr std::size_t bytes() {
    return (kFirstSums + 2) * sizeof(double) +
           (kGivenArrays * kTile + (kPixelArrays + 2) * kThreads + kProducts * kSide) *
               sizeof(float);
  }

  /// One of the sums of the columns, across them.
  __device__ double total(int which) const {
    double sum = 0.0;
    for (int x = 0; x < kSide; ++x) sum += columns[which * kSide + x];
    return sum;
  }
};

/// The pixels of a block and those around it; pixels outside the image are not in use.
__device__ void load_tile(const Pair& pair, const BlockMemory& memory, int top, int left) {
  for (int slot = static_cast<int>(threadIdx.x); slot < kTile; slot += kThreads) {
    const int y = top - 1 + slot / kHalo;
    const int x = left - 1 + slot % kHalo;
    Pixel pixel{};
    if (y >= 0 && y < pair.grid.height && x >= 0 && x < pair.grid.width) {
      pixel = pixel_at(pair, y, x);
    }
    memory.a[slot] = pixel.a;
    memory.b[slot] = pixel.b;
    memory.twice[slot] = pixel.a + pixel.b;
    memory.inside[slot] = pixel.inside;
  }
}

/// One of the first sums down one column.
__device__ float first_sum(const Pair& pair, const BlockMemory& memory, int which, int x, int top,
                           int left) {
  const auto rows = static_cast<int>(pair.grid.block_height);
  float sum = 0.0f;
  if (which >= 3) {
    if (x >= pair.grid.block_width) return 0.0f;
    for (int y = 0; y < rows; ++y) sum += flow_at(pair.args, which - 3, top + y, left + x);
    return sum;
  }
  const float* values = which == 1 ? memory.a : memory.b;
  for (int y = 0; y < rows; ++y) {
    const int slot = (y + 1) * kHalo + x + 1;
    sum += which == 0 ? memory.inside[slot] : values[slot] * memory.inside[slot];
  }
  return sum;
}

/// What the products of one pixel are made of.
__device__ void prepare_pixel(const Pair& pair, const BlockMemory& memory) {
  const auto thread = static_cast<int>(threadIdx.x);
  const int slot = (thread / kSide + 1) * kHalo + thread % kSide + 1;
  const bool in_block = thread / kSide < pair.grid.block_height;
  const float here = in_block ? memory.inside[slot] : 0.0f;
  const auto mean_a = static_cast<float>(memory.totals[kFirstSums]);
  const auto mean_b = static_cast<float>(memory.totals[kFirstSums + 1]);
  const float* inside = memory.inside + slot;
  const float* twice = memory.twice + slot;
  memory.pixels[thread] = (memory.a[slot] - mean_a) * here;
  memory.pixels[kThreads + thread] = (memory.b[slot] - mean_b) * here;
  // 1/4: 1/2 for the sum of two frames, 1/2 for a step of 2 px.
  const float across = (twice[1] - twice[-1]) * (0.25f * inside[1] * inside[-1]);
  const float down = (twice[kHalo] - twice[-kHalo]) * (0.25f * inside[kHalo] * inside[-kHalo]);
  memory.pixels[2 * kThreads + thread] = in_block ? across : 0.0f;
  memory.pixels[3 * kThreads + thread] = in_block ? down : 0.0f;
}

/// One of the products summed down one column: aa, bb, ab, then the same of the gradient's parts
/// but in the order xx, xy, yy.
__device__ float product_sum(const BlockMemory& memory, int which, int x) {
  const int first = which < 3 ? which == 1 : 2 + (which == 5);
  const int second = which < 3 ? which != 0 : 2 + (which != 3);
  float sum = 0.0f;
  for (int y = 0; y < kSide; ++y) {
    const int pixel = y * kSide + x;
    sum += memory.pixels[first * kThreads + pixel] * memory.pixels[second * kThreads + pixel];
  }
  return sum;
}

__device__ float* out_of(const Pair& pair, int field, std::int64_t row, std::int64_t column) {
  const std::int64_t* strides = pair.args.out.strides;
  return static_cast<float*>(pair.args.out.data) + field * strides[0] + row * strides[1] +
         column * strides[2];
}

/// The deformation at each sample of a block, to shared memory; the number of samples.
__device__ int deform(const Pair& pair, const BlockMemory& memory, std::int64_t row,
                      std::int64_t column) {
  const GradientAxis down = gradient_axis(pair.grid.block_height, pair.grid.rows);
  const GradientAxis right = gradient_axis(pair.grid.block_width, pair.grid.columns);
  const auto samples = static_cast<int>(down.per_block * right.per_block);
  const auto thread = static_cast<int>(threadIdx.x);
  if (thread < samples) {
    Deformation found{0.0f, 0};
    if (down.count > 1 && right.count > 1) {
      const auto across = static_cast<int>(right.per_block);
      found = deformation_at(pair.args.flow,
                             flow_neighbours(down, row * down.per_block + thread / across),
                             flow_neighbours(right, column * across + thread % across));
    }
    memory.deformation[thread] = found.norm;
    memory.deformation[kThreads + thread] = static_cast<float>(found.folded);
  }
  return samples;
}

/// The sums of each block, and the fields that are its own.
__global__ void __launch_bounds__(kThreads) sum_pair_blocks(Pair pair) {
  const BlockMemory memory;
  const auto thread = static_cast<int>(threadIdx.x);
  const std::int64_t column = blockIdx.x;
  const auto left = static_cast<int>(column * pair.grid.block_width);
  for (std::int64_t row = blockIdx.y; row < pair.grid.rows; row += gridDim.y) {
    const auto top = static_cast<int>(row * pair.grid.block_height);
    PairBlockSums& sums = pair.blocks[row * pair.grid.columns + column];
    __syncthreads();  // the block before this one has been summed
    load_tile(pair, memory, top, left);
    const int samples = deform(pair, memory, row, column);
    __syncthreads();
    if (thread < kFirstSums * kSide) {
      memory.columns[thread] = first_sum(pair, memory, thread / kSide, thread % kSide, top, left);
    }
    __syncthreads();
    if (thread < kFirstSums) memory.totals[thread] = memory.total(thread);
    if (thread == 32 || thread == 64) {  // in warps of their own
      const float* values = memory.deformation + (thread == 32 ? 0 : kThreads);
      double sum = 0.0;
      for (int sample = 0; sample < samples; ++sample) sum += values[sample];
      *out_of(pair, thread == 32 ? kDeformation : kFolded, row, column) =
          static_cast<float>(sum * (1.0 / samples));
    }
    __syncthreads();
    if (thread < 2) {
      const double count = memory.totals[0];
      const double mean = memory.totals[1 + thread] / (count > 1.0 ? count : 1.0);
      memory.totals[kFirstSums + thread] = mean;
      (thread == 0 ? sums.mean_a : sums.mean_b) = mean;
      if (thread == 0) sums.count = count;
      const auto pixels = static_cast<double>(pair.grid.block_height * pair.grid.block_width);
      *out_of(pair, kFlowX + thread, row, column) =
          static_cast<float>(memory.totals[3 + thread] / pixels);
    }
    __syncthreads();
    prepare_pixel(pair, memory);
    __syncthreads();
    if (thread < kProducts * kSide) {
      memory.columns[thread] = product_sum(memory, thread / kSide, thread % kSide);
    }
    __syncthreads();
    if (thread < kProducts) sums.products[thread] = memory.total(thread);
  }
}

/// The fields that follow from the sums of all blocks; NaN in every field where a value is not
/// finite.
__global__ void __launch_bounds__(kRowThreads) finish_pair_blocks(Pair pair) {
  auto* partial = reinterpret_cast<double*>(shared_memory);  // [2][kRowThreads]
  auto* marks = reinterpret_cast<std::int32_t*>(partial + 2 * kRowThreads);
  const auto thread = static_cast<int>(threadIdx.x);
  double sum_a = 0.0, sum_b = 0.0;
  std::int32_t mark = 0;
  for (std::int64_t y = thread; y < pair.grid.height; y += kRowThreads) {
    sum_a += pair.rows[y].a;
    sum_b += pair.rows[y].b;
    mark |= pair.rows[y].mark;
  }
  partial[thread] = sum_a;
  partial[kRowThreads + thread] = sum_b;
  marks[thread] = mark;
  for (int half = kRowThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half) {
      partial[thread] += partial[thread + half];
      partial[kRowThreads + thread] += partial[kRowThreads + thread + half];
      marks[thread] |= marks[thread + half];
    }
  }
  __syncthreads();
  const std::int64_t block = static_cast<std::int64_t>(blockIdx.x) * kRowThreads + thread;
  if (block >= pair.grid.rows * pair.grid.columns) return;
  const std::int64_t row = block / pair.grid.columns;
  const std::int64_t column = block % pair.grid.columns;
  const auto pixels = static_cast<double>(pair.grid.height * pair.grid.width);
  const double frame[2] = {partial[0] / pixels, partial[kRowThreads] / pixels};
  float fields[kSummedFields];
  summed_fields(pair.grid, pair.blocks, row, column, frame, fields);
#pragma unroll
  for (int field = 0; field < kSummedFields; ++field) {
    *out_of(pair, field, row, column) = fields[field];
  }
  if (marks[0] == 0) return;
  for (int field = 0; field < kPairFields; ++field) {
    *out_of(pair, field, row, column) = bits_to_float(0x7fc00000u);
  }
}

}  // namespace

Status pair_blocks_cuda(const PairBlocksArgs& args, void* stream) noexcept {
  Status status = check(args);
  if (!status.ok()) return status;
  if (args.workspace == nullptr ||
      reinterpret_cast<std::uintptr_t>(args.workspace) % alignof(PairBlockSums) != 0) {
    return failure(Status::Code::kArgument, "a workspace on the device, aligned to 8 bytes", "%p",
                   args.workspace);
  }
  Pair pair{args, block_grid(args.flow.sizes[1], args.flow.sizes[2]), nullptr, nullptr};
  const std::int64_t blocks = pair.grid.rows * pair.grid.columns;
  pair.blocks = static_cast<PairBlockSums*>(args.workspace);
  pair.rows = reinterpret_cast<PairRowSums*>(pair.blocks + blocks);
  const auto run = [&](const Grid& grid, auto kernel) {
    if (status.ok()) {
      status = launch("pair_blocks", grid, args.out.device_index, stream, kernel, pair);
    }
  };

  Grid rows;
  rows.threads = dim3(kRowThreads);
  rows.blocks = dim3(static_cast<unsigned>(pair.grid.height));
  rows.shared_bytes = kRowThreads * (2 * sizeof(float) + sizeof(std::int32_t));
  Grid each;
  each.threads = dim3(kThreads);
  each.blocks = dim3(static_cast<unsigned>(pair.grid.columns), grid_y(pair.grid.rows));
  each.shared_bytes = BlockMemory::bytes();
  Grid last;
  last.threads = dim3(kRowThreads);
  last.blocks = dim3(static_cast<unsigned>(ceil_div(blocks, kRowThreads)));
  last.shared_bytes = kRowThreads * (2 * sizeof(double) + sizeof(std::int32_t));
  run(rows, sum_pair_row);
  run(each, sum_pair_blocks);
  run(last, finish_pair_blocks);
  return status;
}

}  // namespace cineflow
