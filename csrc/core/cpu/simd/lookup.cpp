// Windows of bilinear samples, one pixel apart: all samples of a window have the same weights.
//
// A row of a window is one or a few vectors. Each is interpolated along x once and serves the
// samples above and below it. The results of up to 16 pixels are then transposed, because pixels
// are adjacent in the output and samples are not.
#include "cpu/simd/kernels.h"
#include "cpu/simd/vec.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

constexpr int kMostSide = 17;  // of a window, 2 kMaxLookupRadius + 1
constexpr int kMostChunks = (kMostSide + kLanes - 1) / kLanes;
constexpr int kPitch = (kMostSide * kMostSide + kMostChunks * kLanes + 15) / 16 * 16;

CINEFLOW_HD I32s lane_integers() {
  I32s numbers;
  for (int lane = 0; lane < kLanes; ++lane) numbers[lane] = lane;
  return numbers;
}

CINEFLOW_HD F32s masked(F32s values, I32s mask) { return (F32s)((I32s)values & mask); }

/// `to` [(2r + 1)^2], y displacement first; some floats behind it are overwritten.
template <int kChunks, typename Source>
void window(const LookupRun& run, int pixel, float* to) {
  const int side = 2 * run.radius + 1;
  const auto* map = static_cast<const Source*>(run.maps[pixel]);
  const auto x = static_cast<std::int32_t>(run.x[pixel]);
  const auto width = static_cast<std::int32_t>(run.width);
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

  F32s above[kChunks] = {};
  for (int row = 0; row <= side; ++row) {
    const std::int64_t y = run.y[pixel] + row;
    F32s values[kChunks] = {};
    if (y >= 0 && y < run.height) {
      constexpr int kReach = kChunks * kLanes + 1;
      const std::int64_t offset = y * run.pitch + x - run.origin[pixel];
      const Source* from = map + offset;
      Source copy[kReach] = {};
      if (!(offset >= -run.before[pixel] && offset + kReach <= run.after[pixel])) {
        for (int column = 0; column < kReach; ++column) {
          if (x + column >= 0 && x + column < width) copy[column] = map[offset + column];
        }
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
  for (int pixel = 0; pixel < run.count; ++pixel) {
    float* one = to + pixel * kPitch;
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

}  // namespace

void look_up(const LookupRun& run) noexcept {
  const int side = 2 * run.radius + 1;
  float samples[kLookupPixels * kPitch];
  windows_of((side + kLanes - 1) / kLanes, run, samples);
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      const float* from = samples + y * side + x;
      float* to = run.out + (x * side + y) * run.out_stride;
      for (int pixel = 0; pixel < run.count; ++pixel) to[pixel] = from[pixel * kPitch];
    }
  }
}

}  // namespace cineflow::CINEFLOW_ISA
