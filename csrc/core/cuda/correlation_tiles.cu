// Local correlation of f32 maps: correlation_tiles.h says for which.
//
// A thread holds the sums of 4 pixels x (2r + 1) horizontal displacements for a row of f2 and the
// two rows of a pair. Groups of threads share out the channels, so that a small map fills the
// device; their sums are added in shared memory, always in the same order.
#include "cuda/correlation_tiles.h"

namespace cineflow {
namespace {

constexpr int kMaxThreads = 384;  // of a multiprocessor: each has many registers
constexpr int kMaxQuads = 8;      // a quarter of a warp, which shared memory serves at a time
constexpr int kStages = 3;
constexpr int kMostEach = 2;    // channels of a group in one stage
constexpr int kTurns = 2;       // in which a thread copies its channels of a stage
constexpr int kFewestRows = 4;  // of f2 in a block; fewer threads could not copy a stage
constexpr int kBatch = 4;       // sums of a thread that are added up at a time

/// sums[row][pixel][shift] += f1 of the row's pixel * f2 of its neighbour, for one channel.
template <int kShifts>
__device__ void accumulate_pair(const Pack<float, kQuad>* own, int own_pitch,
                                const Pack<float, kQuad>* others,
                                float (&sums)[2][kQuad][kShifts]) {
  constexpr int kLead = kTileReach - kShifts / 2;
  constexpr int kPacks = 1 + 2 * kTileReach / kQuad;
  float values[kPacks * kQuad];
#pragma unroll
  for (int pack = 0; pack < kPacks; ++pack) {
    const Pack<float, kQuad> loaded = others[pack];
#pragma unroll
    for (int lane = 0; lane < kQuad; ++lane) values[pack * kQuad + lane] = loaded.lane[lane];
  }
#pragma unroll
  for (int row = 0; row < 2; ++row) {
    const Pack<float, kQuad> pixels = own[row * own_pitch];
#pragma unroll
    for (int pixel = 0; pixel < kQuad; ++pixel) {
#pragma unroll
      for (int shift = 0; shift < kShifts; ++shift) {
        sums[row][pixel][shift] += pixels.lane[pixel] * values[kLead + pixel + shift];
      }
    }
  }
}

/// Adds up the sums of all groups, and stores them. The groups take turns with the results. `upper`
/// and `lower` are the results of the rows of the pair at dx = -r, or null outside.
template <int kShifts>
__device__ void store_totals(float* upper, float* lower, std::int64_t step, float scale,
                             const float (&sums)[2][kQuad][kShifts]) {
  constexpr int kSums = 2 * kShifts;
  auto* const parts = reinterpret_cast<Pack<float, kQuad>*>(shared_memory);
  const auto group = static_cast<int>(threadIdx.z);
  const auto groups = static_cast<int>(blockDim.z);
  const auto threads = static_cast<int>(blockDim.x * blockDim.y);  // of a group
  auto* const own = parts + threadIdx.x + blockDim.x * threadIdx.y;
  const auto store = [&](int sum, const Pack<float, kQuad>& values) {
    float* row = sum < kShifts ? upper : lower;
    const int shift = sum < kShifts ? sum : sum - kShifts;
    if (row != nullptr) store_pack<float, kQuad>(row + shift * step, values);
  };
#pragma unroll
  for (int first = 0; first < kSums; first += kBatch) {
    if (groups > 1) __syncthreads();  // the memory is still read
#pragma unroll
    for (int index = 0; index < kBatch && first + index < kSums; ++index) {
      const int sum = first + index;
      Pack<float, kQuad> values;
#pragma unroll
      for (int pixel = 0; pixel < kQuad; ++pixel) {
        values.lane[pixel] = scale * sums[sum / kShifts][pixel][sum % kShifts];
      }
      if (groups == 1) {
        store(sum, values);
      } else {
        own[(group * kBatch + index) * threads] = values;
      }
    }
    if (groups == 1) continue;
    __syncthreads();
    for (int index = group; index < kBatch && first + index < kSums; index += groups) {
      Pack<float, kQuad> totals{};
      for (int other = 0; other < groups; ++other) {
        const Pack<float, kQuad> part = own[(other * kBatch + index) * threads];
#pragma unroll
        for (int pixel = 0; pixel < kQuad; ++pixel) totals.lane[pixel] += part.lane[pixel];
      }
      store(first + index, totals);
    }
  }
}

/// kEach: channels of a group in one stage.
template <int kRadius, int kEach>
__global__ void __launch_bounds__(kMaxThreads, 1)
    correlate_tiles(CorrelationArgs args, Tiles tiles) {
  constexpr int kShifts = 2 * kRadius + 1;
  const TileTask task = tile_task(tiles);
  const auto row = static_cast<int>(threadIdx.y) % tiles.rows;
  const int upper = static_cast<int>(threadIdx.y) / tiles.rows * 2;  // row of the tile
  const auto quad = static_cast<int>(threadIdx.x);
  const auto thread =
      static_cast<int>(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
  TileCopies<float> copies(args, tiles, task, thread,
                           static_cast<int>(blockDim.x * blockDim.y * blockDim.z));
  const int first = static_cast<int>(threadIdx.z) * kEach;  // channel of a stage
  const int channel = first * tiles.channel_packs;
  const int others = channel + (upper + row) * tiles.pitch + quad;
  const int own = channel + tiles.neighbour_rows() * tiles.pitch + upper * tiles.quads + quad;

  for (std::int64_t image = blockIdx.y; image < args.f1.sizes[0]; image += gridDim.y) {
    float sums[2][kQuad][kShifts] = {};
    const auto work = [&](const Pack<float, kQuad>* stage, int left) {
      if (first >= left) return;  // for a whole group: kEach divides the channels
#pragma unroll
      for (int index = 0; index < kEach; ++index) {
        const auto* at = stage + index * tiles.channel_packs;
        accumulate_pair<kShifts>(at + own, tiles.quads, at + others, sums);
      }
    };
    for_each_stage<kTurns>(copies, tiles, static_cast<int>(args.f1.sizes[1]), image, work);
    const std::int64_t step = (args.x_major ? kShifts : 1) * args.out.strides[1];
    const auto results = [&](int below) {
      return result_quad<float>(args, image, task.first_row + row - below, task.y + upper + below,
                                task.x + quad * kQuad);
    };
    store_totals<kShifts>(results(0), results(1), step, args.scale, sums);
  }
}

/// The division with the least work for the multiprocessor that has most.
Tiles divide(const CorrelationArgs& args) noexcept {
  const TensorView& out = args.out;
  const int met = 2 * args.radius + 2;  // rows of f2
  const std::int64_t across = out.sizes[3] / kQuad;
  Tiles tiles{};
  tiles.tiles_x = static_cast<int>(ceil_div(across, kMaxQuads));
  tiles.quads = static_cast<int>(ceil_div(across, tiles.tiles_x));
  // The 8 threads that shared memory serves at a time read from one row, or from two rows whose
  // packs lie in different banks.
  tiles.pitch = tiles.quads + (tiles.quads == kMaxQuads ? 2 : 8);

  const int processors = multiprocessors(out.device_index);
  constexpr int kOptions[][2] = {{4, 1}, {2, 1}, {1, 1}, {1, 2}};  // pairs, parts
  Tiles best{};
  std::int64_t least = INT64_MAX;
  std::int64_t blocks = 0;
  for (const auto& option : kOptions) {
    tiles.pairs = option[0];
    tiles.parts = option[1];
    tiles.rows = met / tiles.parts;
    if (tiles.rows < kFewestRows) continue;
    tiles.tiles_y = static_cast<int>(ceil_div(out.sizes[2], 2 * tiles.pairs));
    const std::int64_t all = out.sizes[0] * tiles.tiles_x * tiles.tiles_y * tiles.parts;
    const std::int64_t cost =
        ceil_div(all, processors) *
        (5 * tiles.quads * tiles.rows * tiles.pairs + 2 * tiles.copied_packs());
    if (cost >= least) continue;
    least = cost;
    best = tiles;
    blocks = all;
  }
  best.channel_packs = best.neighbour_rows() * best.pitch + 2 * best.pairs * best.quads;

  // Groups of threads share the channels. Where a multiprocessor has one block only, this block
  // needs more of them.
  const int group = best.quads * best.rows * best.pairs;
  const int enough = 32 * (blocks > processors ? 4 : 8);  // threads
  constexpr int kPackBytes = sizeof(float) * kQuad;
  least = INT64_MAX;
  for (int groups = 1; groups * group <= kMaxThreads; ++groups) {
    const int threads = groups * group;
    const int most = threads / best.copied_packs() * kTurns;  // channels that they can copy
    const bool even = args.f1.sizes[1] % kMostEach == 0;
    const int each = even && most >= groups * kMostEach ? kMostEach : 1;
    const int channels = groups * each;
    const int bytes = kStages * channels * best.channel_packs * kPackBytes;
    if (bytes > static_cast<int>(kTileSharedBytes) || most < channels) continue;
    const std::int64_t cost =
        ceil_div(args.f1.sizes[1], channels) * each * (threads > enough ? threads : enough);
    if (cost >= least) continue;
    least = cost;
    best.groups = groups;
    best.channels = channels;
    best.stages = kStages;
  }
  return best;
}

template <int kRadius>
Status launch_tiles(const CorrelationArgs& args, const Tiles& tiles, void* stream) noexcept {
  const int groups = tiles.groups;
  const int group = tiles.quads * tiles.rows * tiles.pairs;
  const int staged = tiles.stages * tiles.channels * tiles.channel_packs;
  const int added = groups == 1 ? 0 : kBatch * group * groups;
  Grid grid;
  grid.threads =
      dim3(static_cast<unsigned>(tiles.quads), static_cast<unsigned>(tiles.rows * tiles.pairs),
           static_cast<unsigned>(groups));
  grid.blocks = dim3(static_cast<unsigned>(tiles.tiles_x * tiles.tiles_y * tiles.parts),
                     grid_y(args.out.sizes[0]));
  grid.shared_bytes = sizeof(Pack<float, kQuad>) * (staged > added ? staged : added);
  const auto kernel = tiles.channels == kMostEach * groups ? correlate_tiles<kRadius, kMostEach>
                                                           : correlate_tiles<kRadius, 1>;
  return launch("correlation", grid, args.out.device_index, stream, kernel, args, tiles);
}

}  // namespace

Status correlation_tiles_cuda(const CorrelationArgs& args, void* stream) noexcept {
  const Tiles tiles = divide(args);
  switch (args.radius) {
    case 2:
      return launch_tiles<2>(args, tiles, stream);
    case 3:
      return launch_tiles<3>(args, tiles, stream);
    default:
      return launch_tiles<4>(args, tiles, stream);
  }
}

}  // namespace cineflow
