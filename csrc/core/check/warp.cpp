#include "cineflow/warp.h"

#include "check/rules.h"

namespace cineflow {

Status check(const WarpArgs& args) noexcept {
  const TensorView& src = args.src;
  const TensorView& flow = args.flow;
  const TensorView& out = args.out;
  return Rules()
      .image_or_volume("src", src)
      .rank("flow", flow, src.rank)
      .rank("out", out, src.rank)
      .dtype("src", src, {DType::kF32, DType::kF16, DType::kBF16, DType::kU8})
      .dtype("flow", flow, {DType::kF32})
      .dtype("out", out, {DType::kF32, DType::kF16, DType::kBF16})
      .same_device("flow", flow, src)
      .same_device("out", out, src)
      .size("flow", flow, 0, src.sizes[0], "src's batch")
      .directions("flow", flow)
      .size("out", out, 0, src.sizes[0], "src's batch")
      .size("out", out, 1, src.sizes[1], "src's channels")
      .sides("out", out, "flow", flow)
      .extent("src", src)
      .extent("flow", flow)
      .extent("out", out)
      .writable("out", out)
      .disjoint("src", src, out)
      .disjoint("flow", flow, out)
      .status();
}

}  // namespace cineflow
