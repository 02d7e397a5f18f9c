// Checks on what is sent, so that bad input costs no round trip. They throw kFrameRejected.
#pragma once

#include "step.h"

namespace cineflow_client {

/// The values of a frame, as the server checks them. Returns whether it is black.
/// `dark`: every frame of the stream so far was black; true before the first.
bool check_values(const Model& model, const unsigned char* pixels, DataType dtype,
                  const Sizes& size, bool dark);

/// Named arrays, if they are what the tensors want. New axes are added to `sizes`.
void check_arrays(const std::string& model, const std::vector<const TensorSpec*>& tensors,
                  const std::vector<Given>& arrays, std::size_t count, AxisSizes& sizes);

/// Points of a call that are outside their picture or on one another, in words; "" if none.
std::string misplaced_points(const Model& model, const std::vector<Given>& arrays);

/// The size of a pixel as the wire has it. Throws kCineflowClientError.
Given checked_spacing(const std::vector<double>& spacing_mm, int rank);

void copy_given(const Array& array, Given& given);

}  // namespace cineflow_client
