#include "cineflow/correlation_pyramid.h"

#include <cfloat>

#include "check/levels.h"

namespace cineflow {

Status check(const CorrelationPyramidArgs& args) noexcept {
  const TensorView& f1 = args.f1;
  const TensorView& f2 = args.f2;
  const TensorView& out = args.out;
  Rules rules;
  rules.rank("f1", f1, 4)
      .rank("f2", f2, 4)
      .rank("out", out, 4)
      .dtype("f1", f1, {DType::kF32, DType::kF16, DType::kBF16})
      .dtype("f2", f2, {f1.dtype})
      .dtype("out", out, {DType::kF32, DType::kF16, DType::kBF16})
      .same_device("f2", f2, f1)
      .same_device("out", out, f1)
      .range("scale", args.scale, -FLT_MAX, FLT_MAX)
      .size("f2", f2, 0, f1.sizes[0], "f1's batch")
      .size("f2", f2, 1, f1.sizes[1], "f1's channels")
      .sides("f2", f2, "f1", f1)
      .plane("f1", f1)
      .plane("f2", f2);
  levels_fit(rules, args.levels, f1.sizes[2], f1.sizes[3]);
  if (!rules.status().ok()) return rules.status();
  return rules.size("out", out, 0, f1.sizes[0], "f1's batch")
      .size("out", out, 1, f1.sizes[2], "f1's height")
      .size("out", out, 2, f1.sizes[3], "f1's width")
      .size("out", out, 3, level_start(f1.sizes[2], f1.sizes[3], args.levels), "all levels")
      .plane("out", out)
      .writable("out", out)
      .disjoint("f1", f1, out)
      .disjoint("f2", f2, out)
      .status();
}

Status check(const CorrelationLookupArgs& args) noexcept {
  const TensorView& pyramid = args.pyramid;
  const TensorView& coords = args.coords;
  const TensorView& out = args.out;
  const std::int64_t height = pyramid.sizes[1];
  const std::int64_t width = pyramid.sizes[2];
  const std::int64_t side = 2 * std::int64_t{args.radius} + 1;
  Rules rules;
  rules.rank("pyramid", pyramid, 4)
      .rank("coords", coords, 4)
      .rank("out", out, 4)
      .dtype("pyramid", pyramid, {DType::kF32, DType::kF16, DType::kBF16})
      .dtype("coords", coords, {DType::kF32})
      .dtype("out", out, {DType::kF32, DType::kF16, DType::kBF16})
      .same_device("coords", coords, pyramid)
      .same_device("out", out, pyramid)
      .range("radius", args.radius, 0, kMaxLookupRadius)
      .size("coords", coords, 0, pyramid.sizes[0], "pyramid's batch")
      .size("coords", coords, 1, 2, "x and y")
      .size("coords", coords, 2, height, "pyramid's height")
      .size("coords", coords, 3, width, "pyramid's width")
      .plane("pyramid", pyramid)
      .plane("coords", coords);
  levels_fit(rules, args.levels, height, width);
  if (!rules.status().ok()) return rules.status();
  return rules.size("pyramid", pyramid, 3, level_start(height, width, args.levels), "all levels")
      .size("out", out, 0, pyramid.sizes[0], "pyramid's batch")
      .size("out", out, 1, args.levels * side * side, "levels (2 radius + 1)^2")
      .size("out", out, 2, height, "pyramid's height")
      .size("out", out, 3, width, "pyramid's width")
      .plane("out", out)
      .writable("out", out)
      .disjoint("pyramid", pyramid, out)
      .disjoint("coords", coords, out)
      .status();
}

}  // namespace cineflow
