// Windows of bilinear samples, one pixel apart: all samples of a window have the same weights.
//
// A row of a window is one or a few vectors. Each is interpolated along x once and serves the
// samples above and below it. The results of up to 16 pixels are then transposed, because pixels
// are adjacent in the output and samples are not.
#include <algorithm>

#include "cpu/simd/kernels.h"
#include "cpu/simd/vec.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

constexpr int kMostSide = 17;  // of a window, 2 kMaxLookupRadius + 1
constexpr int kMostChunks = (kMostSide + kLanes - 1) / kLanes;

/// Floats from the window of one pixel to the next: an odd number of cache lines. Behind a window
/// is room for a row of whole vectors.
constexpr int pitch_of(int side) {
  return ((side * side + kMostChunks * kLanes + 15) / 16 | 1) * 16;
}

CINEFLOW_HD I32s lane_integers() {
  I32s numbers;
  for (int lane = 0; lane < kLanes; ++lane) numbers[lane] = lane;
  return numbers;
}

CINEFLOW_HD F32s masked(F32s values, I32s mask) { return (F32s)((I32s)values & mask); }

/// A row of a map from `offset` on, of which only columns [x, x + reach) that are inside are read.
template <typename Source>
[[gnu::noinline]] void copy_row(const Source* map, std::int64_t offset, std::int32_t x,
                                std::int32_t width, int reach, Source* to) {
  for (int column = 0; column < reach; ++column) {
    const bool inside = x + column >= 0 && x + column < width;
    to[column] = inside ? map[offset + column] : Source{};
  }
}

/// Pixels that the prefetches run ahead: about the latency of the L3 cache.
constexpr int kAhead = 3;

/// The rows of the window that is needed kAhead windows later: of this level, or of the next one.
struct Ahead {
  const char* first;
  std::int64_t step;  // bytes
};

CINEFLOW_HD Ahead rows_ahead(const LookupRun& run, int pixel) {
  int other = pixel + kAhead;
  const LookupRun* from = &run;
  if (other >= run.count) {
    if (run.next != nullptr) from = run.next;
    other = std::min(other - run.count, run.count - 1);
  }
  const std::int64_t bytes = item_size(from->dtype);
  const std::int64_t offset = from->y[other] * from->pitch + from->x[other] - from->origin[other];
  return {static_cast<const char*>(from->maps[other]) + offset * bytes, from->pitch * bytes};
}

/// `to` [(2r + 1)^2], y displacement first; some floats behind it are overwritten.
template <int kChunks, typename Source>
void window(const LookupRun& run, int pixel, float* to) {
  const int side = 2 * run.radius + 1;
  const auto* map = static_cast<const Source*>(run.maps[pixel]);
  const auto x = static_cast<std::int32_t>(run.x[pixel]);
  const auto width = static_cast<std::int32_t>(run.width);
  const std::int64_t height = run.height;
  const std::int64_t pitch = run.pitch;
  const std::int64_t first_y = run.y[pixel];
  const std::int64_t origin = run.origin[pixel];
  const std::int64_t before = run.before[pixel];
  const std::int64_t after = run.after[pixel];
  const float x_fraction = run.x_fraction[pixel];
  const float y_fraction = run.y_fraction[pixel];
  const F32s right_weight = splat(x_fraction);
  const F32s left_weight = splat(1.0f - x_fraction);
  const F32s low_weight = splat(y_fraction);
  const F32s high_weight = splat(1.0f - y_fraction);

  // A sample at -1 has no neighbour: column 0 is not read for it, not even with weight 0.
  const std::int32_t first = x_fraction == 0.0f ? 1 : 0;
  I32s left_inside[kChunks];
  I32s right_inside[kChunks];
#pragma GCC unroll 5
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    const I32s column = lane_integers() + (x + chunk * kLanes);
    left_inside[chunk] = (column >= 0) & (column < width);
    right_inside[chunk] = (column + 1 >= first) & (column + 1 < width);
  }

  const Ahead ahead = rows_ahead(run, pixel);
  constexpr int kReach = kChunks * kLanes + 1;
  Source copy[kReach];
  F32s above[kChunks] = {};
  for (int row = 0; row <= side; ++row) {
    const std::int64_t y = first_y + row;
    F32s values[kChunks] = {};
    __builtin_prefetch(ahead.first + row * ahead.step);
    __builtin_prefetch(ahead.first + row * ahead.step + side * sizeof(Source));
    if (y >= 0 && y < height) {
      const std::int64_t offset = y * pitch + x - origin;
      const Source* from = map + offset;
      if (!(offset >= -before && offset + kReach <= after)) {
        copy_row(map, offset, x, width, kReach, copy);
        from = copy;
      }
#pragma GCC unroll 5
      for (int chunk = 0; chunk < kChunks; ++chunk) {
        const F32s left = masked(load(from + chunk * kLanes), left_inside[chunk]);
        const F32s right = masked(load(from + chunk * kLanes + 1), right_inside[chunk]);
        values[chunk] = multiply_add(right, right_weight, left * left_weight);
      }
    }
    if (row > 0) {
      const bool unread = y == 0 && y_fraction == 0.0f;  // as above, for row 0
#pragma GCC unroll 5
      for (int chunk = 0; chunk < kChunks; ++chunk) {
        const F32s low = unread ? F32s{} : values[chunk];
        // A vector may reach into the next row, which is written next.
        store(to + (row - 1) * side + chunk * kLanes,
              multiply_add(low, low_weight, above[chunk] * high_weight));
      }
    }
#pragma GCC unroll 5
    for (int chunk = 0; chunk < kChunks; ++chunk) above[chunk] = values[chunk];
  }
}

template <int kChunks>
void windows(const LookupRun& run, float* to) {
  const int pitch = pitch_of(2 * run.radius + 1);
  for (int pixel = 0; pixel < run.count; ++pixel) {
    float* one = to + pixel * pitch;
    switch (run.dtype) {
      case DType::kF16:
        window<kChunks, Half>(run, pixel, one);
        break;
      case DType::kBF16:
        window<kChunks, BFloat16>(run, pixel, one);
        break;
      default:
        window<kChunks, float>(run, pixel, one);
    }
  }
}

template <int kChunks = 1>
void windows_of(int chunks, const LookupRun& run, float* to) {
  if constexpr (kChunks <= kMostChunks) {
    if (chunks == kChunks) {
      windows<kChunks>(run, to);
    } else {
      windows_of<kChunks + 1>(chunks, run, to);
    }
  }
}

/// Where the samples of a window go: [x displacement][y displacement], from rows of y.
struct Order {
  Order(int side, std::int64_t stride) {
    std::int64_t* to = offsets;
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) *to++ = (x * side + y) * stride;
    }
  }
  std::int64_t offsets[kMostSide * kMostSide];  // in the output
};

#if defined(__AVX2__)
/// 8 samples of 8 pixels, of which the first `count` are stored.
CINEFLOW_HD void transpose(const float* from, int pitch, const std::int64_t* offsets, int count,
                           float* to) {
  __m256 rows[8];
  __m256 pairs[8];
#pragma GCC unroll 8
  for (int row = 0; row < 8; ++row) rows[row] = _mm256_loadu_ps(from + row * pitch);
#pragma GCC unroll 4
  for (int row = 0; row < 8; row += 2) {
    pairs[row] = _mm256_unpacklo_ps(rows[row], rows[row + 1]);
    pairs[row + 1] = _mm256_unpackhi_ps(rows[row], rows[row + 1]);
  }
#pragma GCC unroll 2
  for (int row = 0; row < 8; row += 4) {
    rows[row] = _mm256_shuffle_ps(pairs[row], pairs[row + 2], 0x44);
    rows[row + 1] = _mm256_shuffle_ps(pairs[row], pairs[row + 2], 0xee);
    rows[row + 2] = _mm256_shuffle_ps(pairs[row + 1], pairs[row + 3], 0x44);
    rows[row + 3] = _mm256_shuffle_ps(pairs[row + 1], pairs[row + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int row = 0; row < 4; ++row) {
    pairs[row] = _mm256_permute2f128_ps(rows[row], rows[row + 4], 0x20);
    pairs[row + 4] = _mm256_permute2f128_ps(rows[row], rows[row + 4], 0x31);
  }
  if (count >= 8) {
#pragma GCC unroll 8
    for (int row = 0; row < 8; ++row) _mm256_storeu_ps(to + offsets[row], pairs[row]);
    return;
  }
  // Masked stores are slow on some processors.
  for (int row = 0; row < 8; ++row) {
    float lanes[8];
    _mm256_storeu_ps(lanes, pairs[row]);
    if (count >= 4) _mm_storeu_ps(to + offsets[row], _mm256_castps256_ps128(pairs[row]));
    for (int lane = count & 4; lane < count; ++lane) to[offsets[row] + lane] = lanes[lane];
  }
}
#endif

}  // namespace

void look_up(const LookupRun& run) noexcept {
  const int side = 2 * run.radius + 1;
  const int count = side * side;
  const int pitch = pitch_of(side);
  float samples[kLookupPixels * pitch_of(kMostSide)];
  windows_of((side + kLanes - 1) / kLanes, run, samples);
  const Order order(side, run.out_stride);
  int done = 0;
#if defined(__AVX2__)
  if (count >= 8) {
    for (; done < count; done += 8) {
      const int first = done + 8 <= count ? done : count - 8;  // the last block again in part
      for (int pixel = 0; pixel < run.count; pixel += 8) {
        transpose(samples + pixel * pitch + first, pitch, order.offsets + first, run.count - pixel,
                  run.out + pixel);
      }
    }
  }
#endif
  for (; done < count; ++done) {
    float* to = run.out + order.offsets[done];
    for (int pixel = 0; pixel < run.count; ++pixel) to[pixel] = samples[pixel * pitch + done];
  }
}

}  // namespace cineflow::CINEFLOW_ISA
