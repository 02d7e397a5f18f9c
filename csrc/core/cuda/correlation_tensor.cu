// Local correlation of f16 and bf16 maps on tensor cores: correlation_tiles.h says for which.
//
// A matrix product correlates 16 pixels, 8 of each row of a pair, with 16 columns of a row of f2.
// Of its 256 sums those are used whose columns are within the radius: 9 of 16 for radius 4. A warp
// takes half of the rows that a pair meets. Results go through shared memory, so that stores are
// whole packs.
#include "cuda/correlation_tiles.h"
#include "cuda/current_device.h"
#include "cuda/tensor_cores.h"

namespace cineflow {
namespace {

constexpr int kColumns = 8;    // pixels of a group along x
constexpr int kMaxGroups = 4;  // along x, of a tile
constexpr int kDepth = 16;     // channels of a product
constexpr int kFewest = 64;    // channels; with fewer, results take most of the time
constexpr int kMaxThreads = 512;
constexpr int kMostStages = 3;

/// sums[row][columns][element] of a warp, for the rows of f2 that it takes.
template <typename T, int kRows>
__device__ void accumulate_products(const Pack<T, kQuad>* own, const Pack<T, kQuad>* others,
                                    int pitch, float (&sums)[kRows][2][4]) {
  std::uint32_t pixels[4];
  load_transposed(pixels, own);
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    std::uint32_t neighbours[4];
    load_transposed(neighbours, others + row * pitch);
    multiply<T>(sums[row][0], pixels, neighbours[0], neighbours[1]);
    multiply<T>(sums[row][1], pixels, neighbours[2], neighbours[3]);
  }
}

template <typename T, typename Result, int kRadius>
__global__ void __launch_bounds__(kMaxThreads, 1)
    correlate_tensor(CorrelationArgs args, Tiles tiles) {
  constexpr int kRows = kRadius + 1;
  constexpr int kSide = 2 * kRadius + 1;
  const TileTask task = tile_task(tiles);
  const auto lane = static_cast<int>(threadIdx.x);
  const auto warp = static_cast<int>(threadIdx.y);
  const auto thread = 32 * warp + lane;
  const auto threads = static_cast<int>(32 * blockDim.y);
  const int groups = tiles.quads * kQuad / kColumns;
  const int halves = tiles.rows / kRows;
  const int group = warp % groups;
  const int first_row = warp / groups % halves * kRows;  // of those in the block
  const int upper = warp / groups / halves * 2;          // row of the tile
  TileCopies<T> copies(args, tiles, task, thread, threads);

  // Rows of the four matrices that a load takes: f1 has both rows of the pair before the next 8
  // channels, f2 has the next 8 channels before the next 8 columns.
  constexpr int kGroupPacks = kColumns / kQuad;
  const int own = (lane % 8 + lane / 16 * 8) * tiles.channel_packs +
                  tiles.neighbour_rows() * tiles.pitch + (upper + lane / 8 % 2) * tiles.quads +
                  group * kGroupPacks;
  const int others = (lane % 8 + lane / 8 % 2 * 8) * tiles.channel_packs +
                     (upper + first_row) * tiles.pitch + (group + lane / 16) * kGroupPacks;

  const int first_dy = task.first_row > 0 ? task.first_row - 1 : 0;
  const int behind_dy = task.first_row + tiles.rows < kSide ? task.first_row + tiles.rows : kSide;
  const int width = tiles.quads * kQuad;
  const int plane = 2 * tiles.pairs * width;
  auto* const results = reinterpret_cast<Result*>(shared_memory);  // [dy][dx][row][column]

  for (std::int64_t image = blockIdx.y; image < args.f1.sizes[0]; image += gridDim.y) {
    float sums[kRows][2][4] = {};
    const auto work = [&](const Pack<T, kQuad>* stage, int) {
      accumulate_products(stage + own, stage + others, tiles.pitch, sums);
    };
    for_each_stage<0>(copies, tiles, static_cast<int>(args.f1.sizes[1]), image, work);
    __syncthreads();  // the last stage is still read
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
#pragma unroll
      for (int element = 0; element < 8; ++element) {
        const int lower = element / 2 % 2;
        const int pixel = lane / 4;
        const int column = element / 4 * 8 + lane % 4 * 2 + element % 2;
        const int dx = column - pixel - kTileReach + kRadius;
        const int dy = task.first_row + first_row + row - lower;
        if (dx < 0 || dx >= kSide || dy < 0 || dy >= kSide) continue;
        results[((dy - first_dy) * kSide + dx) * plane + (upper + lower) * width +
                group * kColumns + pixel] =
            from_float<Result>(args.scale * sums[row][element / 4][element % 4]);
      }
    }
    __syncthreads();
    const std::int64_t dx_step = (args.x_major ? kSide : 1) * args.out.strides[1];
    const int at_once = threads / (plane / kQuad);  // displacements
    const int pack = thread % (plane / kQuad);
    const int line = pack / tiles.quads;  // of the tile
    const int x = task.x + pack % tiles.quads * kQuad;
    for (int shift = thread / (plane / kQuad); shift < (behind_dy - first_dy) * kSide;
         shift += at_once) {
      const int dy = first_dy + shift / kSide;
      const int met = dy + line % 2 - task.first_row;
      if (met < 0 || met >= tiles.rows) continue;  // another block's
      Result* to = result_quad<Result>(args, image, dy, task.y + line, x);
      if (to == nullptr) continue;
      to += shift % kSide * dx_step;
      store_pack<Result, kQuad>(to,
                                load_pack<Result, kQuad>(results + shift * plane + pack * kQuad));
    }
  }
}

/// The division with the least work for the multiprocessor that has most.
Tiles divide(const CorrelationArgs& args) noexcept {
  const TensorView& out = args.out;
  const int half = args.radius + 1;
  const std::int64_t across = ceil_div(out.sizes[3], kColumns);
  Tiles tiles{};
  tiles.tiles_x = static_cast<int>(ceil_div(across, kMaxGroups));
  const int groups = static_cast<int>(ceil_div(across, tiles.tiles_x));
  tiles.quads = groups * kColumns / kQuad;
  tiles.pitch = tiles.quads + 2;

  const int processors = multiprocessors(out.device_index);
  constexpr int kOptions[][2] = {{2, 1}, {1, 1}, {1, 2}};  // pairs, parts
  Tiles best{};
  std::int64_t least = INT64_MAX;
  for (const auto& option : kOptions) {
    tiles.pairs = option[0];
    tiles.parts = option[1];
    tiles.rows = 2 * half / tiles.parts;
    tiles.tiles_y = static_cast<int>(ceil_div(out.sizes[2], 2 * tiles.pairs));
    const std::int64_t blocks = out.sizes[0] * tiles.tiles_x * tiles.tiles_y * tiles.parts;
    const int warps = groups * tiles.pairs * tiles.rows / half;
    const std::int64_t cost =
        ceil_div(blocks, processors) * (4 * warps * (half + 1) + 2 * tiles.copied_packs());
    if (cost >= least) continue;
    least = cost;
    best = tiles;
    best.groups = warps;
  }
  // The rows of a matrix are of neighbouring channels: an odd number of 16 bytes apart, they lie in
  // different banks.
  best.channel_packs = best.neighbour_rows() * best.pitch + 2 * best.pairs * best.quads;
  if (best.channel_packs % 4 == 0) best.channel_packs += 2;
  best.channels = kDepth;
  best.turns = static_cast<int>(ceil_div(kDepth, 32 * best.groups / best.copied_packs()));
  const int stage_bytes = kDepth * best.channel_packs * kQuad * item_size(args.f1.dtype);
  const int stages = static_cast<int>(kTileSharedBytes) / stage_bytes;
  best.stages = stages < kMostStages ? stages : kMostStages;
  return best;
}

template <typename T, typename Result, int kRadius>
Status launch_tensor(const CorrelationArgs& args, void* stream) noexcept {
  const Tiles tiles = divide(args);
  const int side = 2 * kRadius + 1;
  const int rows = tiles.parts == 1 ? side : tiles.rows + 1;  // of displacements in one block
  const std::size_t staged =
      sizeof(T) * kQuad * tiles.stages * tiles.channels * tiles.channel_packs;
  const std::size_t results = sizeof(Result) * rows * side * 2 * tiles.pairs * tiles.quads * kQuad;
  Grid grid;
  grid.threads = dim3(32, static_cast<unsigned>(tiles.groups));
  grid.blocks = dim3(static_cast<unsigned>(tiles.tiles_x * tiles.tiles_y * tiles.parts),
                     grid_y(args.out.sizes[0]));
  grid.shared_bytes = staged > results ? staged : results;
  return launch("correlation", grid, args.out.device_index, stream,
                correlate_tensor<T, Result, kRadius>, args, tiles);
}

template <typename T, typename Result>
Status launch_radius(const CorrelationArgs& args, void* stream) noexcept {
  switch (args.radius) {
    case 2:
      return launch_tensor<T, Result, 2>(args, stream);
    case 3:
      return launch_tensor<T, Result, 3>(args, stream);
    default:
      return launch_tensor<T, Result, 4>(args, stream);
  }
}

template <typename T>
Status launch_result(const CorrelationArgs& args, void* stream) noexcept {
  if (args.out.dtype == DType::kF32) return launch_radius<T, float>(args, stream);
  return launch_radius<T, T>(args, stream);
}

/// Whether the kernels of a GPU were compiled with matrix instructions: code for an older one has
/// none, also where a newer one runs it. Asked for once.
bool has_products(int device) noexcept {
  constexpr int kDevices = 64;
  constexpr int kOldest = 80;
  static std::atomic<int> kept[kDevices];
  const bool fits = device >= 0 && device < kDevices;
  if (fits && kept[device].load() != 0) return kept[device].load() > 0;
  const CurrentDevice current(device);
  cudaFuncAttributes attributes{};
  if (current.error() != cudaSuccess ||
      cudaFuncGetAttributes(&attributes, correlate_tensor<Half, Half, 4>) != cudaSuccess) {
    cudaGetLastError();
    return false;
  }
  const bool has = attributes.ptxVersion >= kOldest;
  if (fits) kept[device].store(has ? 1 : -1);
  return has;
}

}  // namespace

bool fits_tensor_cores(const CorrelationArgs& args) noexcept {
  const DType storage = args.f1.dtype;
  return (storage == DType::kF16 || storage == DType::kBF16) &&
         (args.out.dtype == storage || args.out.dtype == DType::kF32) &&
         args.f1.sizes[1] >= kFewest && args.f1.sizes[1] % kDepth == 0 && fits_tiles(args) &&
         has_products(args.out.device_index);
}

Status correlation_tensor_cuda(const CorrelationArgs& args, void* stream) noexcept {
  if (args.f1.dtype == DType::kF16) return launch_result<Half>(args, stream);
  return launch_result<BFloat16>(args, stream);
}

}  // namespace cineflow
