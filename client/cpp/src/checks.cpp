#include "checks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace cineflow_client {
namespace {

std::string quoted_names(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  std::string text = "[";
  for (const std::string& name : names) text += (text.size() > 1 ? ", " : "") + name;
  return text + "]";
}

float half_to_float(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const float part = static_cast<float>(bits & 1023);
  if (exponent == 31) return (bits & 1023) != 0 ? NAN : INFINITY;
  return exponent == 0 ? std::ldexp(part, -24) : std::ldexp(part + 1024, exponent - 25);
}

template <typename Value>
Value load(const unsigned char* bytes, std::int64_t position) {
  Value value;
  std::memcpy(&value, bytes + static_cast<std::size_t>(position) * sizeof(value), sizeof(value));
  return value;
}

double value_at(const Given& array, std::int64_t position) {
  switch (array.dtype) {
    case DataType::kFloat16:
      return half_to_float(load<std::uint16_t>(array.bytes.data(), position));
    case DataType::kFloat32:
      return load<float>(array.bytes.data(), position);
    case DataType::kFloat64:
      return load<double>(array.bytes.data(), position);
    case DataType::kInt32:
      return load<std::int32_t>(array.bytes.data(), position);
    case DataType::kInt64:
      return static_cast<double>(load<std::int64_t>(array.bytes.data(), position));
    default:
      return load<unsigned char>(array.bytes.data(), position);
  }
}

bool all_finite(const Given& array) {
  if (array.dtype != DataType::kFloat16 && array.dtype != DataType::kFloat32 &&
      array.dtype != DataType::kFloat64) {
    return true;
  }
  const std::int64_t count = product(array.shape).value_or(0);
  for (std::int64_t k = 0; k < count; ++k) {
    if (!std::isfinite(value_at(array, k))) return false;
  }
  return true;
}

[[noreturn]] void not_finite(const float* values, std::int64_t count, const Sizes& size) {
  std::int64_t bad = 0, first = -1;
  for (std::int64_t k = 0; k < count; ++k) {
    if (std::isfinite(values[k])) continue;
    if (first < 0) first = k;
    ++bad;
  }
  const std::int64_t width = size.back(), height = size[size.size() - 2];
  throw Error(Code::kFrameRejected, "finite grey levels",
              std::to_string(bad) + " NaN or infinite values, the first at x " +
                  std::to_string(first % width) + ", y " + std::to_string(first / width % height),
              "Replace them, or leave the frame out.");
}

}  // namespace

bool check_values(const Model& model, const unsigned char* pixels, DataType dtype,
                  const Sizes& size, bool dark) {
  const double low = model.least_grey, high = model.most_grey;
  const std::int64_t count = product(size).value_or(0);
  double least = 0, most = 0;
  if (dtype == DataType::kUint8) {
    if (low <= 0 && high >= 255) {
      // Once a frame is not black, it does not matter any more, and memory need not be read.
      return dark &&
             std::all_of(pixels, pixels + count, [](unsigned char one) { return one == 0; });
    }
    const auto [smallest, largest] = std::minmax_element(pixels, pixels + count);
    least = *smallest;
    most = *largest;
  } else {
    const float* values = reinterpret_cast<const float*>(pixels);
    float smallest = values[0], largest = values[0], sum = 0;
    for (std::int64_t k = 0; k < count; ++k) {
      smallest = std::min(smallest, values[k]);
      largest = std::max(largest, values[k]);
      sum += values[k] - values[k];  // not zero where a value is not finite
    }
    if (sum != 0 || std::isnan(sum)) not_finite(values, count, size);
    least = smallest;
    most = largest;
  }
  const std::string range = number(low) + " to " + number(high);
  if (least < low || most > high) {
    throw Error(Code::kFrameRejected, "grey levels from " + range,
                "values from " + number(least) + " to " + number(most),
                "Scale the frames to " + number(low) + ".." + number(high) +
                    ", the range that the model's spec declares.");
  }
  if (dark && dtype == DataType::kFloat32 && high >= 255 && most > 0 && most <= 1) {
    throw Error(
        Code::kFrameRejected, "grey levels from " + range,
        "a first frame whose highest value is " + number(most) + ": it looks scaled to 0..1",
        "Multiply float frames by " + number(high) + ".");
  }
  return least == 0 && most == 0;
}

void check_arrays(const std::string& model, const std::vector<const TensorSpec*>& tensors,
                  const std::vector<Given>& arrays, std::size_t count, AxisSizes& sizes) {
  std::vector<std::string> wanted, got;
  for (const TensorSpec* one : tensors) wanted.push_back(one->name);
  for (std::size_t k = 0; k < count; ++k) got.push_back(arrays[k].name);
  if (quoted_names(wanted) != quoted_names(got)) {
    throw Error(Code::kFrameRejected,
                wanted.empty() ? "no further inputs for " + model
                               : "the inputs " + quoted_names(wanted) + " of " + model,
                quoted_names(got), "Give each of them once, by its name.");
  }
  for (const TensorSpec* tensor : tensors) {
    const auto array = std::find_if(arrays.begin(), arrays.begin() + static_cast<long>(count),
                                    [&](const Given& one) { return one.name == tensor->name; });
    AxisSizes known = sizes;
    bool right = array->shape.size() == tensor->dims.size() && array->dtype == tensor->dtype;
    for (std::size_t axis = 0; right && axis < tensor->dims.size(); ++axis) {
      right = tensor->dims[axis].fits(array->shape[axis], known);
    }
    if (!right) {
      std::string so_far;
      for (const auto& [axis, size] : sizes)
        so_far += ", with " + axis + " = " + std::to_string(size);
      throw Error(Code::kFrameRejected,
                  tensor->name + ": " + name(tensor->dtype) + " [" + tensor->shape + "] in " +
                      tensor->unit + so_far,
                  std::string(name(array->dtype)) + " [" + words(array->shape, ", ") + "]",
                  "Give the array in this type and shape.");
    }
    if (!all_finite(*array)) {
      throw Error(Code::kFrameRejected, tensor->name + ": finite values", "NaN or infinite values",
                  "Give a number for every value.");
    }
    sizes = known;
  }
}

std::string misplaced_points(const Model& model, const std::vector<Given>& arrays) {
  const auto find = [&arrays](const std::string& name) {
    return std::find_if(arrays.begin(), arrays.end(),
                        [&name](const Given& one) { return one.name == name; });
  };
  for (const TensorSpec& tensor : model.inputs) {
    if (tensor.points_of.empty()) continue;
    const auto points = find(tensor.name), picture = find(tensor.points_of);
    if (points == arrays.end() || picture == arrays.end() || points->shape.size() < 2) continue;
    const std::int64_t rank = points->shape.back();
    const std::int64_t group = points->shape[points->shape.size() - 2];
    const auto axes = static_cast<std::int64_t>(picture->shape.size());
    if (rank < 1 || rank > axes) continue;
    const std::int64_t count = product(points->shape).value_or(0) / rank;
    for (std::int64_t k = 0; k < count; ++k) {
      std::string place;
      bool inside = true;
      for (std::int64_t axis = 0; axis < rank; ++axis) {
        const double at = value_at(*points, k * rank + axis);
        const auto size = picture->shape[static_cast<std::size_t>(axes - 1 - axis)];
        inside = inside && at >= -0.5 && at <= static_cast<double>(size) - 0.5;
        place += (place.empty() ? "" : ", ") + number(at);
      }
      if (!inside) {
        const Sizes size(picture->shape.end() - rank, picture->shape.end());
        return tensor.name + ", point " + std::to_string(k % group) + " at (" + place +
               "), outside the " + words(size, " x ") + " pixels of " + tensor.points_of;
      }
      for (std::int64_t other = k - k % group; other < k; ++other) {
        double apart = 0;
        for (std::int64_t axis = 0; axis < rank; ++axis) {
          const double step =
              value_at(*points, k * rank + axis) - value_at(*points, other * rank + axis);
          apart += step * step;
        }
        if (apart < 1) {
          return "points " + std::to_string(other % group) + " and " + std::to_string(k % group) +
                 " of " + tensor.name + " less than a pixel apart";
        }
      }
    }
  }
  return "";
}

Given checked_spacing(const std::vector<double>& spacing_mm, int rank) {
  const bool right = spacing_mm.size() == static_cast<std::size_t>(rank) &&
                     std::all_of(spacing_mm.begin(), spacing_mm.end(),
                                 [](double one) { return std::isfinite(one) && one > 0; });
  if (!right) {
    std::string got;
    for (const double one : spacing_mm) got += (got.empty() ? "" : ", ") + number(one);
    throw Error(Code::kCineflowClientError,
                "a spacing of " + std::to_string(rank) +
                    " positive numbers, (row, column) or (slice, row, column) in mm",
                "(" + got + ")", "Leave it out without a calibration: lengths are in pixels then.");
  }
  Given given;
  copy_given({"spacing_mm", DataType::kFloat64, {rank}, spacing_mm.data()}, given);
  return given;
}

void copy_given(const Array& array, Given& given) {
  given.name = array.name;
  given.dtype = array.dtype;
  given.shape = array.shape;
  const auto count = product(array.shape);
  const auto* bytes = static_cast<const unsigned char*>(array.data);
  if (!count || (bytes == nullptr && *count > 0)) {
    given.bytes.clear();
    given.shape.assign(1, -1);  // fits nothing
    return;
  }
  given.bytes.assign(bytes, bytes + static_cast<std::size_t>(*count) * size_of(array.dtype));
}

}  // namespace cineflow_client
