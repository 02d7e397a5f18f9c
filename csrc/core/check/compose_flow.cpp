#include "cineflow/compose_flow.h"

#include "check/rules.h"

namespace cineflow {

Status check(const ComposeFlowArgs& args) noexcept {
  const TensorView& displacement = args.displacement;
  const TensorView& flow = args.flow;
  const TensorView& out = args.out;
  return Rules()
      .rank("displacement", displacement, 4)
      .rank("flow", flow, 4)
      .rank("out", out, 4)
      .dtype("displacement", displacement, {DType::kF32})
      .dtype("flow", flow, {DType::kF32})
      .dtype("out", out, {DType::kF32})
      .same_device("flow", flow, displacement)
      .same_device("out", out, displacement)
      .size("displacement", displacement, 1, 2, "x and y")
      .size("flow", flow, 0, displacement.sizes[0], "displacement's batch")
      .size("flow", flow, 1, 2, "x and y")
      .size("out", out, 0, displacement.sizes[0], "displacement's batch")
      .size("out", out, 1, 2, "x and y")
      .size("out", out, 2, displacement.sizes[2], "displacement's height")
      .size("out", out, 3, displacement.sizes[3], "displacement's width")
      .plane("displacement", displacement)
      .plane("flow", flow)
      .plane("out", out)
      .writable("out", out)
      .disjoint("displacement", displacement, out)
      .disjoint("flow", flow, out)
      .status();
}

}  // namespace cineflow
