// Tensors and results, as the caller looks at them.
#include <algorithm>
#include <cstring>

#include "result_reader.h"

namespace cineflow_client {

std::int64_t Tensor::count() const noexcept {
  std::int64_t all = data == nullptr ? 0 : 1;
  for (int axis = 0; axis < rank; ++axis) all *= shape[axis];
  return all;
}

std::size_t Tensor::byte_size() const noexcept {
  return static_cast<std::size_t>(count()) * size_of(dtype);
}

bool Tensor::is_dense() const noexcept {
  if (count() == 0) return true;  // the other sizes may be of any product
  auto stride = static_cast<std::int64_t>(size_of(dtype));
  for (int axis = rank; axis-- > 0;) {
    if (shape[axis] != 1 && strides[axis] != stride) return false;
    stride *= shape[axis];
  }
  return true;
}

void Tensor::copy_to(void* out) const noexcept {
  if (byte_size() == 0) return;
  if (is_dense()) {
    std::memcpy(out, data, byte_size());
    return;
  }
  // Row by row: the last axis lies without gaps.
  const std::size_t row = static_cast<std::size_t>(shape[rank - 1]) * size_of(dtype);
  std::int64_t at[kMostAxes] = {};
  auto* to = static_cast<unsigned char*>(out);
  while (true) {
    const auto* from = static_cast<const unsigned char*>(data);
    for (int axis = 0; axis + 1 < rank; ++axis) from += at[axis] * strides[axis];
    std::memcpy(to, from, row);
    to += row;
    int axis = rank - 2;
    while (axis >= 0 && ++at[axis] == shape[axis]) at[axis--] = 0;
    if (axis < 0) return;
  }
}

const Output* Result::output(const std::string& name) const noexcept {
  for (const Output& one : outputs) {
    if (one.info->name == name) return &one;
  }
  return nullptr;
}

Tensor Result::tensor(const std::string& name) const noexcept {
  for (const auto& [key, view] : tensors) {
    if (key == name) return view;
  }
  return {};
}

namespace {
const std::string kPixels = "px", kUnknown;
}

const std::string& Result::unit() const noexcept {
  return kept != nullptr && kept->notes != nullptr ? kept->notes->unit : kPixels;
}

const std::string& Result::engine() const noexcept {
  return kept != nullptr && kept->notes != nullptr ? kept->notes->engine : kUnknown;
}

std::string Result::absent(const std::string& name) const {
  if (tensor(name) || output(name) != nullptr) return "";
  if (kept != nullptr && kept->notes != nullptr) {
    const auto found = kept->notes->absent.find(name);
    if (found != kept->notes->absent.end()) return found->second;
  }
  const auto& ports = kept->model->ports;
  const bool known = std::any_of(ports.begin(), ports.end(),
                                 [&name](const Port& port) { return port.name == name; });
  return known ? "" : kept->model->info.served_name + " has no such output";
}

}  // namespace cineflow_client
