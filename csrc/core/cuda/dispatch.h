// From a DType at run time to a storage type at compile time, on the host.
#pragma once

#include "cineflow/status.h"
#include "cineflow/tensor_view.h"
#include "math/storage.h"

namespace cineflow {

template <typename T>
struct Storage {
  using Type = T;
};

/// `body(Storage<T>{})` with the storage type of an input.
template <typename Body>
Status for_source(DType dtype, const Body& body) noexcept {
  switch (dtype) {
    case DType::kF16:
      return body(Storage<Half>{});
    case DType::kBF16:
      return body(Storage<BFloat16>{});
    case DType::kU8:
      return body(Storage<std::uint8_t>{});
    default:
      return body(Storage<float>{});
  }
}

/// The same for tensors that are never u8: outputs and feature maps.
template <typename Body>
Status for_float(DType dtype, const Body& body) noexcept {
  switch (dtype) {
    case DType::kF16:
      return body(Storage<Half>{});
    case DType::kBF16:
      return body(Storage<BFloat16>{});
    default:
      return body(Storage<float>{});
  }
}

}  // namespace cineflow
