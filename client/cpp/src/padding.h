// Frames of a size between two that the model takes, and views of results without what was added.
#pragma once

#include "spec.h"

namespace cineflow_client {

/// The largest size of a frame along one axis, and the largest number of its pixels.
inline constexpr std::int64_t kMostPixels = std::int64_t{1} << 20;
inline constexpr std::int64_t kMostInFrame = std::int64_t{1} << 40;

/// Black rows and columns for the frames of one stream.
class Padding {
 public:
  Padding() = default;
  Padding(const Model& model, const Sizes& own);

  /// Of the padded frames: the frame's own where it fits, where less than one step of the model's
  /// sizes is not enough, and where inputs of the frame's size are given next to it.
  const Sizes& size() const noexcept { return size_; }
  explicit operator bool() const noexcept { return size_ != own_; }
  /// The view without what describes the padding. `name` is an output of the model, or a reading.
  void crop(const std::string& name, Tensor& view) const noexcept;

 private:
  std::int64_t extent(const Dim& dim) const noexcept;  // -1: all of it

  Sizes own_, size_;
  AxisSizes by_axis_;
  std::map<std::string, std::vector<Dim>> shapes_;
};

}  // namespace cineflow_client
