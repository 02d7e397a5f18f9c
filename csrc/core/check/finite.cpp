#include "cineflow/finite.h"

namespace cineflow {

Status check(const FiniteArgs& args) noexcept {
  const TensorView& values = args.values;
  if (values.device != Device::kCpu) {
    return failure(Status::Code::kArgument, "values on the CPU", "values on a CUDA device");
  }
  if (values.elements() == 0) return {};
  std::int64_t contiguous = 1;
  for (int axis = values.rank - 1; axis >= 0; --axis) {
    if (values.sizes[axis] > 1 && values.strides[axis] != contiguous) {
      return failure(Status::Code::kArgument, "contiguous values, such as a copy",
                     "a stride of %lld elements along axis %d, not %lld",
                     static_cast<long long>(values.strides[axis]), axis,
                     static_cast<long long>(contiguous));
    }
    contiguous *= values.sizes[axis];
  }
  return {};
}

}  // namespace cineflow
