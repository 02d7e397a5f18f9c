// The ops as ONNX Runtime sees them: one description each, and the adapter does the rest.
//
// A description names the node, the argument struct, where its tensors stand, which attributes the
// node has, and how the output's shape follows from them. Everything else is the core's.
#pragma once

#include "attributes.h"
#include "cineflow/compose_flow.h"
#include "cineflow/correlation.h"
#include "cineflow/polar.h"
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

inline Attributes& read_border(Attributes& node, Border* border) noexcept {
  return node.choice("border", {{"zeros", Border::kZeros}, {"clamp", Border::kClamp}}, border);
}

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
  static constexpr auto kWorkspace = nullptr;

  static Status read(Attributes node, Args* args) noexcept {
    return read_border(node, &args->border).status();
  }

  static Shape shape(const Args&, const Shape (&in)[2]) noexcept {
    return {in[0][0], in[0][1], in[1][2], in[1][3]};
  }
};

struct ComposeFlow {
  using Args = ComposeFlowArgs;
  static constexpr const char* kName = "ComposeFlow";
  static constexpr DType kFeatures[] = {DType::kF32};
  static constexpr Input<Args> kInputs[] = {
      {&Args::displacement, 4, Element::kFeatures},
      {&Args::flow, 4, Element::kF32},
  };
  static constexpr auto kCpu = &compose_flow_cpu;
  static constexpr auto kCuda = &compose_flow_cuda;
  static constexpr auto kWorkspace = nullptr;

  static Status read(Attributes node, Args* args) noexcept {
    return read_border(node, &args->border).status();
  }

  static Shape shape(const Args&, const Shape (&in)[2]) noexcept { return in[0]; }
};

struct Correlation {
  using Args = CorrelationArgs;
  static constexpr const char* kName = "Correlation";
  static constexpr DType kFeatures[] = {DType::kF32, DType::kF16, DType::kBF16};
  static constexpr Input<Args> kInputs[] = {
      {&Args::f1, 4, Element::kFeatures},
      {&Args::f2, 4, Element::kFeatures},
  };
  static constexpr auto kCpu = &correlation_cpu;
  static constexpr auto kCuda = &correlation_cuda;
  static constexpr auto kWorkspace = &correlation_workspace;

  static Status read(Attributes node, Args* args) noexcept {
    return node.integer("radius", 0, kMaxRadius, &args->radius)
        .integer("dilation", 1, kMaxDilation, &args->dilation)
        .real("scale", &args->scale)
        .integer("x_major", 0, 1, &args->x_major)
        .status();
  }

  template <std::size_t kCount>
  static Shape shape(const Args& args, const Shape (&in)[kCount]) noexcept {
    const std::int64_t side = 2 * args.radius + 1;
    return {in[0][0], side * side, in[0][2], in[0][3]};
  }
};

struct WarpCorrelation : Correlation {
  static constexpr const char* kName = "WarpCorrelation";
  static constexpr Input<Args> kInputs[] = {
      {&Args::f1, 4, Element::kFeatures},
      {&Args::f2, 4, Element::kFeatures},
      {&Args::flow, 4, Element::kF32},
  };

  static Status read(Attributes node, Args* args) noexcept {
    const Status status = Correlation::read(node, args);
    return status.ok() ? read_border(node, &args->border).status() : status;
  }
};

struct PolarResample {
  using Args = PolarArgs;
  static constexpr const char* kName = "PolarResample";
  static constexpr DType kFeatures[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kU8};
  static constexpr Input<Args> kInputs[] = {
      {&Args::src, 4, Element::kFeatures},
      {&Args::centre, 2, Element::kF32},
  };
  static constexpr auto kCpu = &polar_resample_cpu;
  static constexpr auto kCuda = &polar_resample_cuda;
  static constexpr auto kWorkspace = nullptr;

  /// The output's size is the node's to say: [N, C, rows, columns].
  static Status read(Attributes node, Args* args) noexcept {
    constexpr std::int64_t kLargestSide = (1 << 24) - 1;
    node.integer("rows", 1, kLargestSide, &args->out.sizes[2])
        .integer("columns", 1, kLargestSide, &args->out.sizes[3])
        .real("first_angle", &args->first_angle)
        .real("angle_step", &args->angle_step)
        .real("first_radius", &args->first_radius)
        .real("radius_step", &args->radius_step)
        .integer("wraps", 0, 1, &args->wraps)
        .real("scale", &args->scale)
        .real("offset", &args->offset);
    return read_border(node, &args->border).status();
  }

  static Shape shape(const Args& args, const Shape (&in)[2]) noexcept {
    return {in[0][0], in[0][1], args.out.sizes[2], args.out.sizes[3]};
  }
};

struct PolarUnresample : PolarResample {
  static constexpr const char* kName = "PolarUnresample";
  static constexpr auto kCpu = &polar_unresample_cpu;
  static constexpr auto kCuda = &polar_unresample_cuda;
};

template <typename... Op>
struct List {};

using Ops = List<Warp, ComposeFlow, Correlation, WarpCorrelation, PolarResample, PolarUnresample>;

}  // namespace cineflow::onnxruntime
