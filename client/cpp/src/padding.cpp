#include "padding.h"

#include <algorithm>

namespace cineflow_client {
namespace {

/// The next size that fits, if there is one less than a step away and of a size that frames have.
std::int64_t next_size(const Dim& dim, std::int64_t extent) {
  if (dim.kind != Dim::Kind::kAxis || extent < dim.minimum || extent > dim.maximum) return extent;
  const std::int64_t size = (extent + dim.multiple - 1) / dim.multiple * dim.multiple;
  return size <= std::min(dim.maximum, kMostPixels) ? size : extent;
}

}  // namespace

Padding::Padding(const Model& model, const Sizes& own) : own_(own), size_(own) {
  const std::vector<Dim>& dims = model.input(model.feed_inputs.front())->dims;
  const std::size_t leading = dims.size() - own.size();
  for (std::size_t axis = 0; axis < own.size(); ++axis) {
    const Dim& dim = dims[leading + axis];
    size_[axis] = next_size(dim, own[axis]);
    if (dim.kind == Dim::Kind::kAxis) by_axis_[dim.axis] = own[axis];
  }
  for (const TensorSpec& given : model.inputs) {
    if (has(model.feed_inputs, given.name)) continue;
    for (const Dim& dim : given.dims) {
      if (extent(dim) >= 0) size_ = own_;  // what is given with a frame would not fit
    }
  }
  for (const TensorSpec& output : model.outputs) shapes_[output.name] = output.dims;
}

void Padding::crop(const std::string& name, Tensor& view) const noexcept {
  if (!*this || !view) return;
  const int rank = static_cast<int>(own_.size());
  if (name == "flow" || name == "displacement" || name == "strain") {
    if (view.rank < rank) return;
    for (int axis = 0; axis < rank; ++axis) {
      std::int64_t& size = view.shape[view.rank - rank + axis];
      size = std::min(size, own_[static_cast<std::size_t>(axis)]);
    }
    return;
  }
  const auto found = shapes_.find(name);
  if (found == shapes_.end()) return;
  const auto& dims = found->second;  // a reading has lost the leading axes
  for (int axis = 1; axis <= view.rank && axis <= static_cast<int>(dims.size()); ++axis) {
    const std::int64_t own = extent(dims[dims.size() - static_cast<std::size_t>(axis)]);
    std::int64_t& size = view.shape[view.rank - axis];
    if (own >= 0) size = std::min(size, own);
  }
}

std::int64_t Padding::extent(const Dim& dim) const noexcept {
  if (dim.kind == Dim::Kind::kFixed) return -1;
  const auto found = by_axis_.find(dim.axis);
  if (found == by_axis_.end()) return -1;
  if (dim.kind == Dim::Kind::kAxis) return found->second;
  return (found->second * dim.numerator + dim.denominator - 1) / dim.denominator;
}

}  // namespace cineflow_client
