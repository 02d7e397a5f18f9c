// Shapes in which an axis may have only a name. One rule then serves the graph and the tensors.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "cineflow/tensor_view.h"

namespace cineflow::onnxruntime {

/// One axis: its size, or the name that the graph gives it ("height"), or neither.
struct Dim {
  std::int64_t size = -1;
  const char* name = "";

  Dim() = default;
  Dim(std::int64_t known) : size(known) {}
  explicit Dim(const char* symbol) : name(symbol) {}

  bool unknown() const noexcept { return size < 0 && *name == '\0'; }
};

struct Shape {
  int rank = 0;
  Dim dims[kMaxRank];

  Shape() = default;
  Shape(std::initializer_list<Dim> sizes) {
    for (const Dim& dim : sizes) dims[rank++] = dim;
  }

  const Dim& operator[](int axis) const noexcept { return dims[axis]; }
};

}  // namespace cineflow::onnxruntime
