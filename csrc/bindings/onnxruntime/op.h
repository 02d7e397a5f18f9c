// The description of an op for ONNX Runtime. custom_op.h does the rest.
//
// A description is a struct with the node's name, the argument struct and its tensors, the element
// types, whether it takes volumes, the launchers, a function that reads the attributes, and a
// function that gives the shape of the output. warp.cpp is a short example.
#pragma once

#include <type_traits>

#include "attributes.h"
#include "cineflow/border.h"
#include "cineflow/tensor_view.h"
#include "shape.h"

namespace cineflow::onnxruntime {

/// Which element type an input has.
enum class Element {
  kFeatures,  // one of Op::kFeatures, and also the type of the output
  kF32,
};

template <typename Args>
struct Input {
  TensorView Args::* view;
  int rank;  // of images; where the op takes volumes also, they have one axis more
  Element element;
};

/// Whether the attributes of an op may ask for a result of bytes: Op::kGivesBytes is true, and
/// Op::read then sets the element type of args->out to kU8.
template <typename Op, typename = void>
constexpr bool kMayGiveBytes = false;
template <typename Op>
constexpr bool kMayGiveBytes<Op, std::enable_if_t<Op::kGivesBytes>> = true;

/// Whether an op's CUDA launcher needs a workspace: Op::kCudaWorkspace gives its bytes.
template <typename Op, typename = void>
constexpr bool kHasCudaWorkspace = false;
template <typename Op>
constexpr bool kHasCudaWorkspace<Op, std::void_t<decltype(Op::kCudaWorkspace)>> = true;

inline Attributes& read_border(Attributes& node, Border* border) noexcept {
  return node.choice("border", {{"zeros", Border::kZeros}, {"clamp", Border::kClamp}}, border);
}

}  // namespace cineflow::onnxruntime
