#include "cineflow/correlation.h"

#include <cfloat>

#include "check/rules.h"

namespace cineflow {

Status check(const CorrelationArgs& args) noexcept {
  const TensorView& f1 = args.f1;
  const TensorView& f2 = args.f2;
  const TensorView& flow = args.flow;
  const TensorView& out = args.out;
  const std::int64_t side = 2 * std::int64_t{args.radius} + 1;
  const bool volume = f1.rank == kVolumeRank;
  Rules rules;
  rules.image_or_volume("f1", f1)
      .rank("f2", f2, f1.rank)
      .rank("out", out, f1.rank)
      .dtype("f1", f1, {DType::kF32, DType::kF16, DType::kBF16})
      .dtype("f2", f2, {f1.dtype})
      .dtype("out", out, {DType::kF32, DType::kF16, DType::kBF16})
      .same_device("f2", f2, f1)
      .same_device("out", out, f1)
      .range("radius", args.radius, 0, kMaxRadius)
      .range("dilation", args.dilation, 1, kMaxDilation)
      .range("scale", args.scale, -FLT_MAX, FLT_MAX)
      .size("f2", f2, 0, f1.sizes[0], "f1's batch")
      .size("f2", f2, 1, f1.sizes[1], "f1's channels")
      .sides("f2", f2, "f1", f1)
      .size("out", out, 0, f1.sizes[0], "f1's batch")
      .size("out", out, 1, volume ? side * side * side : side * side,
            volume ? "(2 radius + 1)^3" : "(2 radius + 1)^2")
      .sides("out", out, "f1", f1)
      .extent("f1", f1)
      .extent("f2", f2)
      .extent("out", out)
      .writable("out", out)
      .disjoint("f1", f1, out)
      .disjoint("f2", f2, out);
  if (args.warps()) {
    rules.rank("flow", flow, f1.rank)
        .dtype("flow", flow, {DType::kF32})
        .same_device("flow", flow, f1)
        .size("flow", flow, 0, f1.sizes[0], "f1's batch")
        .directions("flow", flow)
        .sides("flow", flow, "f1", f1)
        .extent("flow", flow)
        .disjoint("flow", flow, out);
  }
  return rules.status();
}

}  // namespace cineflow
