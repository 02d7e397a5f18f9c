#include "cineflow/correlation_on_demand.h"

#include <cfloat>

#include "check/levels.h"

namespace cineflow {

Status check(const FeaturePyramidArgs& args) noexcept {
  const TensorView& f2 = args.f2;
  const TensorView& out = args.out;
  Rules rules;
  rules.rank("f2", f2, 4)
      .rank("out", out, 4)
      .dtype("f2", f2, {DType::kF32, DType::kF16, DType::kBF16})
      .dtype("out", out, {DType::kF32, DType::kF16, DType::kBF16})
      .same_device("out", out, f2)
      .plane("f2", f2);
  levels_fit(rules, args.levels, f2.sizes[2], f2.sizes[3]);
  if (!rules.status().ok()) return rules.status();
  return rules.size("out", out, 0, f2.sizes[0], "f2's batch")
      .size("out", out, 1, f2.sizes[1], "f2's channels")
      .size("out", out, 2, level_row(f2.sizes[2], args.levels), "rows of all levels")
      .size("out", out, 3, f2.sizes[3], "f2's width")
      .plane("out", out)
      .writable("out", out)
      .disjoint("f2", f2, out)
      .status();
}

Status check(const CorrelationOnDemandArgs& args) noexcept {
  const TensorView& f1 = args.f1;
  const TensorView& features = args.features;
  const TensorView& coords = args.coords;
  const TensorView& out = args.out;
  const std::int64_t side = 2 * std::int64_t{args.radius} + 1;
  Rules rules;
  rules.rank("f1", f1, 4)
      .rank("features", features, 4)
      .rank("coords", coords, 4)
      .rank("out", out, 4)
      .dtype("f1", f1, {DType::kF32, DType::kF16, DType::kBF16})
      .dtype("features", features, {f1.dtype})
      .dtype("coords", coords, {DType::kF32})
      .dtype("out", out, {DType::kF32, DType::kF16, DType::kBF16})
      .same_device("features", features, f1)
      .same_device("coords", coords, f1)
      .same_device("out", out, f1)
      .range("radius", args.radius, 0, kMaxLookupRadius)
      .range("scale", args.scale, -FLT_MAX, FLT_MAX)
      .size("features", features, 0, f1.sizes[0], "f1's batch")
      .size("features", features, 1, f1.sizes[1], "f1's channels")
      .size("features", features, 3, f1.sizes[3], "f1's width")
      .size("coords", coords, 0, f1.sizes[0], "f1's batch")
      .size("coords", coords, 1, 2, "x and y")
      .sides("coords", coords, "f1", f1)
      .plane("f1", f1)
      .plane("features", features)
      .plane("coords", coords);
  levels_fit(rules, args.levels, f1.sizes[2], f1.sizes[3]);
  if (!rules.status().ok()) return rules.status();
  return rules
      .size("features", features, 2, level_row(f1.sizes[2], args.levels), "rows of all levels")
      .size("out", out, 0, f1.sizes[0], "f1's batch")
      .size("out", out, 1, args.levels * side * side, "levels (2 radius + 1)^2")
      .sides("out", out, "f1", f1)
      .plane("out", out)
      .writable("out", out)
      .disjoint("f1", f1, out)
      .disjoint("features", features, out)
      .disjoint("coords", coords, out)
      .status();
}

}  // namespace cineflow
