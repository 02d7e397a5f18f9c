// The rules that every op's check is built from.
//
// Usage: return Rules().rank("src", src, 4).dtype("src", src, {DType::kF32}).status();
// The first rule that fails sets the status; later rules then do nothing.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "cineflow/status.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

class Rules {
 public:
  Rules& rank(const char* name, const TensorView& view, int wanted) noexcept;

  /// The view is an image or a volume.
  Rules& image_or_volume(const char* name, const TensorView& view) noexcept;

  Rules& dtype(const char* name, const TensorView& view,
               std::initializer_list<DType> wanted) noexcept;

  /// `view` is on the same device as `first`, the op's first tensor.
  Rules& same_device(const char* name, const TensorView& view, const TensorView& first) noexcept;

  /// `axis` of the view has `wanted` elements. `what` says where that number comes from.
  Rules& size(const char* name, const TensorView& view, int axis, std::int64_t wanted,
              const char* what) noexcept;

  /// An image or volume has a channel for each direction, x and y, or x, y and z.
  Rules& directions(const char* name, const TensorView& view) noexcept;

  /// An image or volume has the sides of another: height and width, in a volume also depth.
  Rules& sides(const char* name, const TensorView& view, const char* like_name,
               const TensorView& like) noexcept;

  /// The last two axes: sides are exact in f32, and offsets fit into an int32.
  Rules& plane(const char* name, const TensorView& view) noexcept;

  /// The same for an image, or for the last three axes of a volume.
  Rules& extent(const char* name, const TensorView& view) noexcept;

  /// `value` lies in [low, high].
  Rules& range(const char* name, double value, double low, double high) noexcept;

  /// The elements of `out` do not overlap, and `out` shares no byte with `input`.
  Rules& writable(const char* name, const TensorView& out) noexcept;
  Rules& disjoint(const char* name, const TensorView& input, const TensorView& out) noexcept;

  const Status& status() const noexcept { return status_; }

 private:
  Rules& span(const char* name, const TensorView& view, int axes, const char* what) noexcept;

  Status status_;
};

}  // namespace cineflow
