#include "cineflow/identity.h"

#include "check/rules.h"

namespace cineflow {

Status check(const IdentityArgs& args) noexcept {
  const TensorView& src = args.src;
  const TensorView& out = args.out;
  return Rules()
      .rank("src", src, 4)
      .rank("out", out, 4)
      .dtype("src", src, {DType::kF32, DType::kF16, DType::kBF16, DType::kU8})
      .dtype("out", out, {DType::kF32, DType::kF16, DType::kBF16})
      .same_device("out", out, src)
      .size("out", out, 0, src.sizes[0], "src's batch")
      .size("out", out, 1, src.sizes[1], "src's channels")
      .size("out", out, 2, src.sizes[2], "src's height")
      .size("out", out, 3, src.sizes[3], "src's width")
      .plane("src", src)
      .plane("out", out)
      .writable("out", out)
      .disjoint("src", src, out)
      .status();
}

}  // namespace cineflow
