// Typed addresses inside a TensorView.
#pragma once

#include "cineflow/tensor_view.h"

namespace cineflow {

/// Address of the element `elements` after the first.
inline void* at(const TensorView& view, std::int64_t elements) noexcept {
  return static_cast<char*>(view.data) + elements * item_size(view.dtype);
}

inline const float* floats_at(const TensorView& view, std::int64_t elements) noexcept {
  return static_cast<const float*>(view.data) + elements;
}

}  // namespace cineflow
