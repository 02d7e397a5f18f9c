// An op as ONNX Runtime sees it: one description, and the adapter (custom_op.h) does the rest.
//
// A description names the node, the argument struct, where its tensors stand, which attributes the
// node has, and how the output's shape follows from them. Everything else is the core's.
#pragma once

#include "attributes.h"
#include "cineflow/border.h"
#include "cineflow/tensor_view.h"
#include "shape.h"

namespace cineflow::onnxruntime {

/// Which element type an input has.
enum class Element {
  kFeatures,  // the type that the node is instantiated for, one of Op::kFeatures; the output's, too
  kF32,
};

template <typename Args>
struct Input {
  TensorView Args::* view;
  int rank;
  Element element;
};

inline Attributes& read_border(Attributes& node, Border* border) noexcept {
  return node.choice("border", {{"zeros", Border::kZeros}, {"clamp", Border::kClamp}}, border);
}

}  // namespace cineflow::onnxruntime
