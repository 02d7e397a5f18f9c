#include "cineflow/warp.h"

#include "cpu/bands.h"
#include "cpu/dispatch.h"
#include "math/bilinear.h"

namespace cineflow {
namespace {

constexpr int kChunk = 128;  // pixels whose taps are kept while the channels pass by

template <typename Source, typename Result>
void warp_row(const WarpArgs& args, std::int64_t image, std::int64_t row) {
  const TensorView& src = args.src;
  const TensorView& flow = args.flow;
  const TensorView& out = args.out;
  const auto* pixels = static_cast<const Source*>(src.data) + image * src.strides[0];
  const auto* shift =
      static_cast<const float*>(flow.data) + image * flow.strides[0] + row * flow.strides[2];
  auto* result = static_cast<Result*>(out.data) + image * out.strides[0] + row * out.strides[2];
  const auto height = static_cast<std::int32_t>(src.sizes[2]);
  const auto width = static_cast<std::int32_t>(src.sizes[3]);

  Tap rows[kChunk];
  Tap columns[kChunk];
  for (std::int64_t start = 0; start < out.sizes[3]; start += kChunk) {
    const int count = static_cast<int>(std::min<std::int64_t>(kChunk, out.sizes[3] - start));
    for (int index = 0; index < count; ++index) {
      const float* at = shift + (start + index) * flow.strides[3];
      columns[index] = tap_at(static_cast<float>(start + index) + at[0], width, args.border);
      rows[index] = tap_at(static_cast<float>(row) + at[flow.strides[1]], height, args.border);
    }
    for (std::int64_t channel = 0; channel < src.sizes[1]; ++channel) {
      const Source* plane = pixels + channel * src.strides[1];
      Result* target = result + channel * out.strides[1] + start * out.strides[3];
      const auto load = [&](std::int32_t y, std::int32_t x) {
        return to_float(plane[y * src.strides[2] + x * src.strides[3]]);
      };
      for (int index = 0; index < count; ++index) {
        target[index * out.strides[3]] =
            from_float<Result>(sample(rows[index], columns[index], load));
      }
    }
  }
}

}  // namespace

Status warp_cpu(const WarpArgs& args, const Executor& executor) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const std::int64_t height = args.out.sizes[2];
  const std::int64_t rows = args.out.sizes[0] * height;
  const std::int64_t bands = band_count(rows, args.out.sizes[1] * args.out.sizes[3], executor);
  with_storage(args.src.dtype, [&](auto source) {
    with_float_storage(args.out.dtype, [&](auto result) {
      for_each_band(rows, bands, executor,
                    [&](std::int64_t, std::int64_t first, std::int64_t last) {
                      for (std::int64_t row = first; row < last; ++row) {
                        warp_row<typename decltype(source)::type, typename decltype(result)::type>(
                            args, row / height, row % height);
                      }
                    });
    });
  });
  return status;
}

}  // namespace cineflow
