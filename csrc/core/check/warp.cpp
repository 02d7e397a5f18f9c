#include "cineflow/warp.h"

#include "check/rules.h"

namespace cineflow {

Status check(const WarpArgs& args) noexcept {
  const TensorView& src = args.src;
  const TensorView& flow = args.flow;
  const TensorView& out = args.out;
  return Rules()
      .rank("src", src, 4)
      .rank("flow", flow, 4)
      .rank("out", out, 4)
      .dtype("src", src, {DType::kF32, DType::kF16, DType::kBF16, DType::kU8})
      .dtype("flow", flow, {DType::kF32})
      .dtype("out", out, {DType::kF32, DType::kF16, DType::kBF16})
      .same_device("flow", flow, src)
      .same_device("out", out, src)
      .size("flow", flow, 0, src.sizes[0], "src's batch")
      .size("flow", flow, 1, 2, "x and y")
      .size("out", out, 0, src.sizes[0], "src's batch")
      .size("out", out, 1, src.sizes[1], "src's channels")
      .size("out", out, 2, flow.sizes[2], "flow's height")
      .size("out", out, 3, flow.sizes[3], "flow's width")
      .plane("src", src)
      .plane("flow", flow)
      .plane("out", out)
      .writable("out", out)
      .disjoint("src", src, out)
      .disjoint("flow", flow, out)
      .status();
}

}  // namespace cineflow
