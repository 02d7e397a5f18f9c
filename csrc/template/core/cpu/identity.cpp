#include "cineflow/identity.h"

#include "cpu/bands.h"
#include "math/dispatch.h"

namespace cineflow {
namespace {

/// Rows [first, last) of all N x C x H.
template <typename Source, typename Result>
void copy_rows(const IdentityArgs& args, std::int64_t first, std::int64_t last) noexcept {
  const TensorView& src = args.src;
  const TensorView& out = args.out;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t y = row % out.sizes[2];
    const std::int64_t channel = row / out.sizes[2] % out.sizes[1];
    const std::int64_t image = row / out.sizes[2] / out.sizes[1];
    const Source* from = static_cast<const Source*>(src.data) + image * src.strides[0] +
                         channel * src.strides[1] + y * src.strides[2];
    Result* to = static_cast<Result*>(out.data) + image * out.strides[0] +
                 channel * out.strides[1] + y * out.strides[2];
    for (std::int64_t x = 0; x < out.sizes[3]; ++x) {
      to[x * out.strides[3]] = from_float<Result>(to_float(from[x * src.strides[3]]));
    }
  }
}

}  // namespace

Status identity_cpu(const IdentityArgs& args, const Executor& executor) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const std::int64_t width = args.out.sizes[3];
  const std::int64_t rows = args.out.elements() / width;
  const std::int64_t bands = band_count(rows, width, executor);
  with_storage(args.src.dtype, [&](auto source) {
    with_float_storage(args.out.dtype, [&](auto result) {
      using Source = typename decltype(source)::type;
      using Result = typename decltype(result)::type;
      for_each_band(rows, bands, executor,
                    [&](std::int64_t, std::int64_t first, std::int64_t last) {
                      copy_rows<Source, Result>(args, first, last);
                    });
    });
  });
  return status;
}

}  // namespace cineflow
