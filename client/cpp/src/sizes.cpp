#include "sizes.h"

#include <algorithm>
#include <cstdio>

namespace cineflow_client {
namespace {

struct TypeRow {
  DataType dtype;
  const char* name;
  const char* on_wire;
  int in_config;  // Triton's DataType
  std::size_t bytes;
};

constexpr TypeRow kTypes[] = {
    {DataType::kUint8, "uint8", "UINT8", 2, 1},     {DataType::kBool, "bool", "BOOL", 1, 1},
    {DataType::kInt32, "int32", "INT32", 8, 4},     {DataType::kInt64, "int64", "INT64", 9, 8},
    {DataType::kFloat16, "float16", "FP16", 10, 2}, {DataType::kFloat32, "float32", "FP32", 11, 4},
    {DataType::kFloat64, "float64", "FP64", 12, 8},
};

const TypeRow& row_of(DataType dtype) noexcept {
  return kTypes[std::clamp(static_cast<int>(dtype), 0, 6)];
}

/// No array has more values.
constexpr std::int64_t kMostValues = std::int64_t{1} << 48;

}  // namespace

const char* name(DataType dtype) noexcept { return row_of(dtype).name; }
std::size_t size_of(DataType dtype) noexcept { return row_of(dtype).bytes; }
const char* name_on_wire(DataType dtype) noexcept { return row_of(dtype).on_wire; }

std::optional<DataType> dtype_named(const std::string& name) noexcept {
  for (const TypeRow& row : kTypes) {
    if (name == row.name) return row.dtype;
  }
  return std::nullopt;
}

std::optional<DataType> dtype_on_wire(const std::string& name) noexcept {
  for (const TypeRow& row : kTypes) {
    if (name == row.on_wire) return row.dtype;
  }
  return std::nullopt;
}

std::optional<DataType> dtype_in_config(int type) noexcept {
  for (const TypeRow& row : kTypes) {
    if (type == row.in_config) return row.dtype;
  }
  return std::nullopt;
}

std::optional<std::int64_t> product(const Sizes& sizes) noexcept {
  std::int64_t all = 1;
  for (const std::int64_t size : sizes) {
    if (size < 0 || __builtin_mul_overflow(all, size, &all) || all > kLastIndex) return {};
  }
  return all;
}

bool are_possible(const Sizes& sizes) noexcept {
  std::int64_t all = 1;
  for (const std::int64_t size : sizes) {
    if (size < 0 || size > kMostValues / all) return false;
    all *= std::max<std::int64_t>(size, 1);
  }
  return true;
}

std::string words(const Sizes& sizes, const char* between) {
  std::string text;
  for (const std::int64_t size : sizes) {
    if (!text.empty()) text += between;
    text += std::to_string(size);
  }
  return text;
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", value);
  return text;
}

bool has(const std::vector<std::string>& names, const std::string& name) noexcept {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace cineflow_client
