// The shape rules every op's check is built from. Each keeps the first failure it meets.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "cineflow/status.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

class Rules {
 public:
  Rules& rank(const char* name, const TensorView& view, int wanted) noexcept;
  Rules& dtype(const char* name, const TensorView& view,
               std::initializer_list<DType> wanted) noexcept;

  /// On the CPU, or the GPU, where the op's first tensor is.
  Rules& same_device(const char* name, const TensorView& view, const TensorView& first) noexcept;

  /// `axis` of the view has `wanted` elements; `what` says where that number comes from.
  Rules& size(const char* name, const TensorView& view, int axis, std::int64_t wanted,
              const char* what) noexcept;

  /// The last two axes: sides that f32 counts exactly, offsets that an int32 holds.
  Rules& plane(const char* name, const TensorView& view) noexcept;

  /// `value` lies in [low, high].
  Rules& range(const char* name, double value, double low, double high) noexcept;

  /// `out` addresses each of its elements once, and shares no byte with `input`.
  Rules& writable(const char* name, const TensorView& out) noexcept;
  Rules& disjoint(const char* name, const TensorView& input, const TensorView& out) noexcept;

  const Status& status() const noexcept { return status_; }

 private:
  Status status_;
};

}  // namespace cineflow
