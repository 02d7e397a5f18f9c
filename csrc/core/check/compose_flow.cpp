#include "cineflow/compose_flow.h"

#include "check/rules.h"

namespace cineflow {

Status check(const ComposeFlowArgs& args) noexcept {
  const TensorView& displacement = args.displacement;
  const TensorView& flow = args.flow;
  const TensorView& out = args.out;
  return Rules()
      .image_or_volume("displacement", displacement)
      .rank("flow", flow, displacement.rank)
      .rank("out", out, displacement.rank)
      .dtype("displacement", displacement, {DType::kF32})
      .dtype("flow", flow, {DType::kF32})
      .dtype("out", out, {DType::kF32})
      .same_device("flow", flow, displacement)
      .same_device("out", out, displacement)
      .directions("displacement", displacement)
      .size("flow", flow, 0, displacement.sizes[0], "displacement's batch")
      .directions("flow", flow)
      .size("out", out, 0, displacement.sizes[0], "displacement's batch")
      .directions("out", out)
      .sides("out", out, "displacement", displacement)
      .extent("displacement", displacement)
      .extent("flow", flow)
      .extent("out", out)
      .writable("out", out)
      .disjoint("displacement", displacement, out)
      .disjoint("flow", flow, out)
      .status();
}

}  // namespace cineflow
