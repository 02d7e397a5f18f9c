// What the two fast kernels of local correlation share: how they divide the work, and how features
// get into shared memory.
//
// Both take maps whose rows are whole aligned packs of 4 pixels, a radius of 2 to 4, no dilation
// and no flow. Everything else is for the kernel in correlation.cu.
//
// Work is in pairs of rows of pixels. Row s of f2 meets the upper row of a pair at the displacement
// dy = s - r, and the lower row at dy = s - 1 - r. A thread or warp takes both, so that it reads a
// value of f2 once for two rows of f1. A pair meets 2r + 2 rows of f2, one of them only with its
// upper and one only with its lower row.
//
// Features are copied asynchronously (cp.async) into a ring of stages, each with some channels.
#pragma once

#include <cuda_pipeline_primitives.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "cineflow/correlation.h"
#include "cuda/launch.h"
#include "cuda/pack.h"
#include "cuda/shared_memory.h"

namespace cineflow {

constexpr int kQuad = 4;       // pixels of a pack
constexpr int kTileReach = 4;  // the largest radius; columns of f2 left and right of a tile
constexpr std::size_t kTileSharedBytes = 48 * 1024;  // what every device provides by default

/// How a launch is divided. Counts of packs are of 4 elements.
struct Tiles {
  int tiles_x, tiles_y;
  int parts;          // of the rows of f2 that a pair meets, in blocks of their own
  int quads, pairs;   // packs along x, and pairs of rows, of a tile
  int rows;           // of f2 that a pair meets in one block
  int pitch;          // packs from one row of f2 to the next in shared memory
  int channel_packs;  // from one channel to the next
  int stages;         // in shared memory, 2 or 3
  int groups;         // that share out the channels
  int channels;       // of a stage
  int turns;          // in which a thread copies its channels of a stage, at most

  CINEFLOW_HD int neighbour_rows() const { return rows + 2 * (pairs - 1); }
  CINEFLOW_HD int neighbour_packs() const { return neighbour_rows() * (quads + 2); }
  CINEFLOW_HD int copied_packs() const { return neighbour_packs() + 2 * pairs * quads; }
};

/// What a block works on.
struct TileTask {
  int x, y;       // first pixel
  int first_row;  // of those that a pair meets
};

__device__ inline TileTask tile_task(const Tiles& tiles) {
  const auto block = static_cast<int>(blockIdx.x);
  const int rest = block / tiles.tiles_x;
  return {block % tiles.tiles_x * tiles.quads * kQuad, rest % tiles.tiles_y * tiles.pairs * 2,
          rest / tiles.tiles_y * tiles.rows};
}

/// A thread's share of the copies: one pack of some channels of each stage. Packs outside of the
/// map are zeroed once per image, and never copied.
template <typename T>
class TileCopies {
 public:
  using Quad = Pack<T, kQuad>;

  /// `thread` of `threads`, which are at least as many as tiles.copied_packs().
  __device__ TileCopies(const CorrelationArgs& args, const Tiles& tiles, const TileTask& task,
                        int thread, int threads) {
    at_once_ = threads / tiles.copied_packs();
    first_ = thread / tiles.copied_packs();
    const int pack = thread % tiles.copied_packs();
    const int neighbours = tiles.neighbour_packs();
    const bool second = pack < neighbours;
    const TensorView& map = second ? args.f2 : args.f1;
    const int width = second ? tiles.quads + 2 : tiles.quads;
    const int row = (second ? pack : pack - neighbours) / width;
    const int column = (second ? pack : pack - neighbours) % width;
    const int y = task.y + row + (second ? task.first_row - args.radius : 0);
    const int x = task.x + column * kQuad - (second ? kTileReach : 0);
    const bool inside = y >= 0 && y < map.sizes[2] && x >= 0 && x < map.sizes[3];
    const bool copies = first_ < at_once_ && inside;
    zeroes_ = first_ < at_once_ && !inside;
    to_ = first_ * tiles.channel_packs +
          (second ? row * tiles.pitch + column
                  : tiles.neighbour_rows() * tiles.pitch + row * width + column);
    channel_step_ = static_cast<int>(map.strides[1]);
    image_step_ = map.strides[0];
    image_ = static_cast<const T*>(map.data);
    if (copies) image_ += first_ * map.strides[1] + y * map.strides[2] + x;
    if (!copies) first_ = kNever;
  }

  /// Starts with an image. `packs` is the start of shared memory.
  __device__ void begin(Quad* packs, const Tiles& tiles, std::int64_t image) {
    next_ = image_ + image * image_step_;
    if (!zeroes_) return;
    Quad* const end = packs + tiles.stages * tiles.channels * tiles.channel_packs;
    for (Quad* to = packs + to_; to < end; to += at_once_ * tiles.channel_packs) *to = Quad{};
  }

  /// Fills a stage with the next channels, of which `left` are left. kTurns: at least tiles.turns;
  /// 0: any number.
  template <int kTurns>
  __device__ void fill(Quad* stage, const Tiles& tiles, int left) {
    const T* from = next_;
    Quad* to = stage + to_;
    const int channels = left < tiles.channels ? left : tiles.channels;
    const int turns = kTurns > 0 ? kTurns : tiles.turns;
#pragma unroll(kTurns > 0 ? kTurns : 1)
    for (int turn = 0; turn < turns; ++turn) {
      if (first_ + turn * at_once_ < channels) __pipeline_memcpy_async(to, from, sizeof(Quad));
      from += at_once_ * channel_step_;
      to += at_once_ * tiles.channel_packs;
    }
    next_ += tiles.channels * channel_step_;
    __pipeline_commit();
  }

 private:
  static constexpr int kNever = 1 << 20;  // no stage has as many channels

  int first_, at_once_;  // channels of a stage
  int to_;               // pack of a stage
  bool zeroes_;
  int channel_step_;  // elements
  std::int64_t image_step_;
  const T* image_;
  const T* next_ = nullptr;
};

/// Runs `work(stage, left)` on each stage of an image's channels, in order. `left` are the channels
/// of the stage and after it; the stage's memory behind them holds anything.
template <int kTurns, typename T, typename Work>
__device__ void for_each_stage(TileCopies<T>& copies, const Tiles& tiles, int channels,
                               std::int64_t image, const Work& work) {
  auto* const packs = reinterpret_cast<Pack<T, kQuad>*>(shared_memory);
  const int stage = tiles.channels * tiles.channel_packs;
  const int end = tiles.stages * stage;
  const int ahead = (tiles.stages - 1) * tiles.channels;  // channels on their way
  __syncthreads();  // the memory may still be read for another purpose
  copies.begin(packs, tiles, image);
  int filled = 0;
  for (int left = channels; filled < end - stage; filled += stage) {
    copies.template fill<kTurns>(packs + filled, tiles, left);
    left -= tiles.channels;
  }
  int ready = 0;
  for (int left = channels; left > 0; left -= tiles.channels) {
    if (tiles.stages > 2) {
      __pipeline_wait_prior(1);
    } else {
      __pipeline_wait_prior(0);
    }
    __syncthreads();  // this stage has arrived, and nobody reads the one before
    copies.template fill<kTurns>(packs + filled, tiles, left - ahead);
    work(packs + ready, left);
    filled = ready;
    ready = ready + stage == end ? 0 : ready + stage;
  }
}

/// Where 4 neighbouring pixels of channel (dy, 0) of out are; null outside. dy and dx count from 0.
template <typename Result>
__device__ Result* result_quad(const CorrelationArgs& args, std::int64_t image, int dy, int y,
                               int x) {
  const TensorView& out = args.out;
  const int side = 2 * args.radius + 1;
  if (dy < 0 || dy >= side || y >= out.sizes[2] || x >= out.sizes[3]) return nullptr;
  return static_cast<Result*>(out.data) + image * out.strides[0] +
         (args.x_major ? dy : dy * side) * out.strides[1] + y * out.strides[2] + x;
}

/// Whether the fast kernels take these maps.
inline bool fits_tiles(const CorrelationArgs& args) noexcept {
  constexpr int kNarrowest = 16;           // pixels; below, most of a tile would lie outside
  constexpr std::int64_t kMost = 1 << 24;  // channels, and elements from one to the next
  const auto fits = [](const TensorView& map) {
    return map.sizes[1] < kMost && map.strides[1] > -kMost && map.strides[1] < kMost &&
           is_packed(map, 3, kQuad);
  };
  return !args.warps() && args.dilation == 1 && args.radius >= 2 && args.radius <= kTileReach &&
         args.f1.sizes[3] >= kNarrowest && fits(args.f1) && fits(args.f2) &&
         is_packed(args.out, 3, kQuad);
}

/// The kernel for f32, which takes what fits_tiles().
Status correlation_tiles_cuda(const CorrelationArgs& args, void* stream) noexcept;

/// The kernel for f16 and bf16 on tensor cores.
bool fits_tensor_cores(const CorrelationArgs& args) noexcept;
Status correlation_tensor_cuda(const CorrelationArgs& args, void* stream) noexcept;

}  // namespace cineflow
