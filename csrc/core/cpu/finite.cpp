#include "cineflow/finite.h"

#include "cpu/kernel_table.h"

namespace cineflow {

Status all_finite_cpu(const FiniteArgs& args) noexcept {
  const Status status = check(args);
  if (!status.ok()) return status;
  const TensorView& values = args.values;
  *args.finite = kernels().all_finite(values.data, values.dtype, values.elements());
  return {};
}

}  // namespace cineflow
