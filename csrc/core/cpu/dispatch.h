// From a DType at run time to a type at compile time.
#pragma once

#include "cineflow/tensor_view.h"
#include "math/storage.h"

namespace cineflow {

template <typename T>
struct TypeTag {
  using type = T;
};

/// Call `body(TypeTag<T>{})` with the storage type of `dtype`.
template <typename Body>
void with_storage(DType dtype, const Body& body) noexcept {
  switch (dtype) {
    case DType::kF32:
      return body(TypeTag<float>{});
    case DType::kF16:
      return body(TypeTag<Half>{});
    case DType::kBF16:
      return body(TypeTag<BFloat16>{});
    case DType::kU8:
      return body(TypeTag<std::uint8_t>{});
  }
}

/// The same for tensors that are written: every storage type but u8.
template <typename Body>
void with_float_storage(DType dtype, const Body& body) noexcept {
  switch (dtype) {
    case DType::kF16:
      return body(TypeTag<Half>{});
    case DType::kBF16:
      return body(TypeTag<BFloat16>{});
    default:
      return body(TypeTag<float>{});
  }
}

}  // namespace cineflow
