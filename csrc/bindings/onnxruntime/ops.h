// The ops as ONNX Runtime sees them: one description each, and the adapter does the rest.
//
// A description names the node, the argument struct, where its tensors stand, which attributes the
// node has, and how the output's shape follows from them. Everything else is the core's.
#pragma once

#include "attributes.h"
#include "cineflow/warp.h"
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

struct Warp {
  using Args = WarpArgs;
  static constexpr const char* kName = "Warp";
  static constexpr DType kFeatures[] = {DType::kF32, DType::kF16, DType::kBF16};
  static constexpr Input<Args> kInputs[] = {
      {&Args::src, 4, Element::kFeatures},
      {&Args::flow, 4, Element::kF32},
  };
  static constexpr auto kCpu = &warp_cpu;
  static constexpr auto kCuda = &warp_cuda;

  static Status read(const AttributeSource& node, Args* args) noexcept {
    return Attributes(node)
        .choice("border", {{"zeros", Border::kZeros}, {"clamp", Border::kClamp}}, &args->border)
        .status();
  }

  static Shape shape(const Args&, const Shape (&in)[2]) noexcept {
    return {in[0][0], in[0][1], in[1][2], in[1][3]};
  }
};

template <typename... Op>
struct List {};

using Ops = List<Warp>;

}  // namespace cineflow::onnxruntime
