#include "cineflow/pair_blocks.h"

#include <algorithm>

#include "check/rules.h"

namespace cineflow {
namespace {

Status adjacent_columns(const char* name, const TensorView& view) noexcept {
  const int last = view.rank - 1;
  if (view.rank == 0 || view.sizes[last] < 2 || view.strides[last] == 1) return {};
  Status status = failure(Status::Code::kArgument, "", "a stride of %lld elements",
                          static_cast<long long>(view.strides[last]));
  std::snprintf(status.wanted, sizeof(status.wanted), "%s with adjacent columns", name);
  return status;
}

}  // namespace

Status check(const PairBlocksArgs& args) noexcept {
  const TensorView& previous = args.previous;
  const TensorView& current = args.current;
  const TensorView& flow = args.flow;
  const TensorView& mask = args.mask;
  const TensorView& out = args.out;
  Rules rules;
  rules.rank("previous", previous, 2)
      .rank("current", current, 2)
      .rank("flow", flow, 3)
      .rank("out", out, 3)
      .dtype("previous", previous, {DType::kF32, DType::kU8})
      .dtype("current", current, {DType::kF32, DType::kU8})
      .dtype("flow", flow, {DType::kF32})
      .dtype("out", out, {DType::kF32})
      .same_device("current", current, previous)
      .same_device("flow", flow, previous)
      .same_device("out", out, previous);
  if (!rules.status().ok()) return rules.status();
  const std::int64_t height = flow.sizes[1];
  const std::int64_t width = flow.sizes[2];
  rules.range("flow's height", static_cast<double>(height), 1, kSideLimit)
      .range("flow's width", static_cast<double>(width), 1, kSideLimit)
      .size("flow", flow, 0, 2, "x and y");
  for (const TensorView* view : {&previous, &current, mask.rank == 0 ? &current : &mask}) {
    const char* name = view == &previous ? "previous" : view == &current ? "current" : "mask";
    rules.rank(name, *view, 2);
    if (!rules.status().ok()) return rules.status();
    rules.size(name, *view, 0, height, "flow's height")
        .size(name, *view, 1, width, "flow's width")
        .plane(name, *view)
        .disjoint(name, *view, out);
  }
  if (mask.rank != 0) {
    rules.dtype("mask", mask, {DType::kU8}).same_device("mask", mask, previous);
  }
  rules.size("out", out, 0, kPairFields, "the fields")
      .size("out", out, 1, std::max<std::int64_t>(1, height / kPairBlock), "rows of blocks")
      .size("out", out, 2, std::max<std::int64_t>(1, width / kPairBlock), "columns of blocks")
      .plane("flow", flow)
      .writable("out", out)
      .disjoint("flow", flow, out);
  if (!rules.status().ok()) return rules.status();
  Status status = adjacent_columns("previous", previous);
  if (status.ok()) status = adjacent_columns("current", current);
  if (status.ok()) status = adjacent_columns("flow", flow);
  if (status.ok()) status = adjacent_columns("mask", mask);
  return status;
}

}  // namespace cineflow
