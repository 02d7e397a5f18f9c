#include "cineflow/patch_correlation.h"

#include <cfloat>

#include "check/rules.h"

namespace cineflow {
namespace {

/// A patch of `size` x `size` samples in cells of `pool` x `pool`.
Status check_patch(const char* size_name, int size, const char* pool_name, int pool) noexcept {
  Status status =
      Rules().range(size_name, size, 1, kMaxPatch).range(pool_name, pool, 1, kMaxPatch).status();
  if (status.ok() && size % pool != 0) {
    status = failure(Status::Code::kArgument, "", "%d and %d", pool, size);
    std::snprintf(status.wanted, sizeof(status.wanted), "%s that divides %s", pool_name, size_name);
  }
  return status;
}

}  // namespace

Status check(const PatchCorrelationArgs& args) noexcept {
  const Status first = check_patch("size1", args.size1, "pool1", args.pool1);
  if (!first.ok()) return first;
  const Status second = check_patch("size2", args.size2, "pool2", args.pool2);
  if (!second.ok()) return second;

  const TensorView& f1 = args.f1;
  const TensorView& f2 = args.f2;
  const TensorView& points1 = args.points1;
  const TensorView& points2 = args.points2;
  const TensorView& out = args.out;
  const std::int64_t cells1 = args.cells1();
  const std::int64_t cells2 = args.cells2();
  const bool divides =
      f1.sizes[0] > 0 ? f2.sizes[0] % f1.sizes[0] == 0 : f1.sizes[0] == f2.sizes[0];
  return Rules()
      .rank("f1", f1, 4)
      .rank("f2", f2, 4)
      .rank("points1", points1, 3)
      .rank("points2", points2, 3)
      .rank("out", out, 4)
      .dtype("f1", f1, {DType::kF32, DType::kF16, DType::kBF16})
      .dtype("f2", f2, {f1.dtype})
      .dtype("points1", points1, {DType::kF32})
      .dtype("points2", points2, {DType::kF32})
      .dtype("out", out, {DType::kF32, DType::kF16, DType::kBF16})
      .same_device("f2", f2, f1)
      .same_device("points1", points1, f1)
      .same_device("points2", points2, f1)
      .same_device("out", out, f1)
      .range("scale", args.scale, -FLT_MAX, FLT_MAX)
      .size("f1", f1, 0, divides ? f1.sizes[0] : f2.sizes[0], "f2's batch, or a divisor of it")
      .size("f2", f2, 1, f1.sizes[1], "f1's channels")
      .size("points1", points1, 0, f1.sizes[0], "f1's batch")
      .size("points2", points2, 0, f2.sizes[0], "f2's batch")
      .size("points2", points2, 1, points1.sizes[1], "points1's count")
      .size("points1", points1, 2, 2, "x and y")
      .size("points2", points2, 2, 2, "x and y")
      .size("out", out, 0, f2.sizes[0], "f2's batch")
      .size("out", out, 1, points2.sizes[1], "points2's count")
      .size("out", out, 2, cells1 * cells1, "(size1 / pool1)^2")
      .size("out", out, 3, cells2 * cells2, "(size2 / pool2)^2")
      .plane("f1", f1)
      .plane("f2", f2)
      .plane("points1", points1)
      .plane("points2", points2)
      .plane("out", out)
      .writable("out", out)
      .disjoint("f1", f1, out)
      .disjoint("f2", f2, out)
      .disjoint("points1", points1, out)
      .disjoint("points2", points2, out)
      .status();
}

}  // namespace cineflow
