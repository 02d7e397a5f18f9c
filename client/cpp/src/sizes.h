// Types of values, shapes, and how they are written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cineflow_client.hpp"

namespace cineflow_client {

using Sizes = std::vector<std::int64_t>;

std::optional<DataType> dtype_named(const std::string& name) noexcept;    // "float16"
std::optional<DataType> dtype_on_wire(const std::string& name) noexcept;  // "FP16"
std::optional<DataType> dtype_in_config(int type) noexcept;               // Triton's number
const char* name_on_wire(DataType dtype) noexcept;

/// Whether an array of these sizes can be, so that what is computed from them does not overflow:
/// none is negative, and those that are not 0 have a product of at most 2^48.
bool are_possible(const Sizes& sizes) noexcept;
/// The product of sizes; none if one is negative, or if it has more than 62 bits.
std::optional<std::int64_t> product(const Sizes& sizes) noexcept;
std::string words(const Sizes& sizes, const char* between);
/// "%g" of it.
std::string number(double value);
bool has(const std::vector<std::string>& names, const std::string& name) noexcept;

}  // namespace cineflow_client
