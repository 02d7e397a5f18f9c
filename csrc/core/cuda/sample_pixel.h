// What a thread of warp, compose_flow and polar does at its pixel: the taps once, then a slab of
// channels. No texture units: their 9-bit weights would break parity with the CPU.
#pragma once

#include "cineflow/tensor_view.h"
#include "cuda/launch.h"
#include "math/bilinear.h"
#include "math/storage.h"

namespace cineflow {

constexpr int kBlockX = 32;
constexpr int kBlockY = 8;
constexpr int kSlab = 8;  // channels per thread

inline unsigned blocks_for(std::int64_t count, int per_block) noexcept {
  return static_cast<unsigned>(ceil_div(count, per_block));
}

/// Blocks along z: one per image and slab; each loops where there are more than a grid holds.
inline std::int64_t slab_tasks(const TensorView& out) noexcept {
  return out.sizes[0] * ((out.sizes[1] + kSlab - 1) / kSlab);
}

/// The taps of one pixel. Periodic rows are tapped on an axis one longer than it is.
struct Taps {
  Tap<> row, column;
  std::int32_t period;  // row of the source that is row 0 again; out of reach where none is
};

CINEFLOW_HD Taps taps_at(const TensorView& src, float x, float y, Border border, bool wraps) {
  const auto height = static_cast<std::int32_t>(src.sizes[2]);
  const auto width = static_cast<std::int32_t>(src.sizes[3]);
  return {wraps ? tap_at(y, height + 1, Border::kZeros) : tap_at(y, height, border),
          tap_at(x, width, border), wraps ? height : height + 2};
}

/// Call `finish(channel, value)` with the sample of each channel of one slab.
template <typename Source, typename Finish>
__device__ inline void sample_slab(const TensorView& src, const Taps& taps,
                                            std::int64_t image, std::int64_t slab,
                                            const Finish& finish) {
  const std::int64_t first = slab * kSlab;
  const std::int64_t last = first + kSlab < src.sizes[1] ? first + kSlab : src.sizes[1];
  const Source* plane =
      static_cast<const Source*>(src.data) + image * src.strides[0] + first * src.strides[1];
  for (std::int64_t channel = first; channel < last; ++channel, plane += src.strides[1]) {
    finish(channel, sample(taps.row, taps.column, [&](std::int32_t row, std::int32_t column) {
             if (row == taps.period) row = 0;
             return to_float(plane[row * src.strides[2] + column * src.strides[3]]);
           }));
  }
}

template <typename Result>
__device__ inline void store_pixel(const TensorView& out, std::int64_t image,
                                            std::int64_t channel, int y, int x, float value) {
  static_cast<Result*>(out.data)[image * out.strides[0] + channel * out.strides[1] +
                                 y * out.strides[2] + x * out.strides[3]] =
      from_float<Result>(value);
}

}  // namespace cineflow
