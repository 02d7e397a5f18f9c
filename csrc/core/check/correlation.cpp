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
  Rules rules;
  rules.rank("f1", f1, 4)
      .rank("f2", f2, 4)
      .rank("out", out, 4)
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
      .size("f2", f2, 2, f1.sizes[2], "f1's height")
      .size("f2", f2, 3, f1.sizes[3], "f1's width")
      .size("out", out, 0, f1.sizes[0], "f1's batch")
      .size("out", out, 1, side * side, "(2 radius + 1)^2")
      .size("out", out, 2, f1.sizes[2], "f1's height")
      .size("out", out, 3, f1.sizes[3], "f1's width")
      .plane("f1", f1)
      .plane("f2", f2)
      .plane("out", out)
      .writable("out", out)
      .disjoint("f1", f1, out)
      .disjoint("f2", f2, out);
  if (args.warps()) {
    rules.rank("flow", flow, 4)
        .dtype("flow", flow, {DType::kF32})
        .same_device("flow", flow, f1)
        .size("flow", flow, 0, f1.sizes[0], "f1's batch")
        .size("flow", flow, 1, 2, "x and y")
        .size("flow", flow, 2, f1.sizes[2], "f1's height")
        .size("flow", flow, 3, f1.sizes[3], "f1's width")
        .plane("flow", flow)
        .disjoint("flow", flow, out);
  }
  return rules.status();
}

}  // namespace cineflow
