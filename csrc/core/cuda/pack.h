// Several adjacent elements moved by one instruction.
#pragma once

#include <cstdint>

#include "cineflow/tensor_view.h"
#include "math/storage.h"

namespace cineflow {

/// kWidth elements, aligned as a whole, for one load or store of up to 16 bytes.
template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth) Pack {
  T lane[kWidth];
};

template <typename T, int kWidth>
CINEFLOW_HD Pack<T, kWidth> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, kWidth>*>(from);
}

template <typename T, int kWidth>
CINEFLOW_HD void store_pack(T* to, const float (&values)[kWidth]) {
  Pack<T, kWidth> pack;
#pragma unroll
  for (int lane = 0; lane < kWidth; ++lane) pack.lane[lane] = from_float<T>(values[lane]);
  *reinterpret_cast<Pack<T, kWidth>*>(to) = pack;
}

/// Whether every pack of `width` elements along `axis` is contiguous and aligned in memory.
inline bool is_packed(const TensorView& view, int axis, int width) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(view.data);
  if (view.strides[axis] != 1 || view.sizes[axis] % width != 0 ||
      address % static_cast<std::uintptr_t>(width * item_size(view.dtype)) != 0) {
    return false;
  }
  for (int other = 0; other < view.rank; ++other) {
    if (other != axis && view.sizes[other] > 1 && view.strides[other] % width != 0) return false;
  }
  return true;
}

/// Whether a view [N, C, H, W] has adjacent channels in whole packs of 16 bytes.
inline bool has_packed_channels(const TensorView& view) noexcept {
  return is_packed(view, 1, 16 / item_size(view.dtype));
}

}  // namespace cineflow
