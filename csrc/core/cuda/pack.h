// Several adjacent elements moved by one instruction.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

#include "cineflow/tensor_view.h"
#include "math/storage.h"

namespace cineflow {

/// kWidth elements, aligned as a whole, for one load or store of up to 16 bytes.
template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth) Pack {
  T lane[kWidth];
};

/// What one instruction moves. A pack itself would be stored lane by lane.
template <int kBytes>
struct Word;
template <>
struct Word<4> {
  using type = unsigned;
};
template <>
struct Word<8> {
  using type = uint2;
};
template <>
struct Word<16> {
  using type = uint4;
};

template <typename T, int kWidth>
CINEFLOW_HD Pack<T, kWidth> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, kWidth>*>(from);
}

template <typename T, int kWidth>
CINEFLOW_HD void store_pack(T* to, const Pack<T, kWidth>& pack) {
#if defined(__CUDA_ARCH__)
  typename Word<sizeof(pack)>::type word;
  std::memcpy(&word, &pack, sizeof(word));
  *reinterpret_cast<decltype(word)*>(to) = word;
#else
  // On the CPU the elements may only be written as what they are.
  *reinterpret_cast<Pack<T, kWidth>*>(to) = pack;
#endif
}

template <typename T, int kWidth>
CINEFLOW_HD void store_pack(T* to, const float (&values)[kWidth]) {
  Pack<T, kWidth> pack;
#pragma unroll
  for (int lane = 0; lane < kWidth; ++lane) pack.lane[lane] = from_float<T>(values[lane]);
  store_pack<T, kWidth>(to, pack);
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
