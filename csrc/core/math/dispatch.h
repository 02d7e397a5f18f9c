// From a DType at run time to a C++ type at compile time, on the host.
#pragma once

#include "cineflow/tensor_view.h"
#include "math/storage.h"

namespace cineflow {

template <typename T>
struct TypeTag {
  using type = T;
};

/// Calls `body(TypeTag<T>{})` with the storage type of `dtype`, and returns what it returns.
template <typename Body>
auto with_storage(DType dtype, const Body& body) noexcept {
  switch (dtype) {
    case DType::kF16:
      return body(TypeTag<Half>{});
    case DType::kBF16:
      return body(TypeTag<BFloat16>{});
    case DType::kU8:
      return body(TypeTag<std::uint8_t>{});
    case DType::kF32:
      break;
  }
  return body(TypeTag<float>{});
}

/// The same for tensors that are never u8: outputs and feature maps.
template <typename Body>
auto with_float_storage(DType dtype, const Body& body) noexcept {
  switch (dtype) {
    case DType::kF16:
      return body(TypeTag<Half>{});
    case DType::kBF16:
      return body(TypeTag<BFloat16>{});
    case DType::kU8:  // the checks refuse it
    case DType::kF32:
      break;
  }
  return body(TypeTag<float>{});
}

}  // namespace cineflow
