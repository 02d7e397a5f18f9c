#include "cpu/all_pairs.h"

#include "cpu/views.h"
#include "math/dispatch.h"
#include "math/window.h"

namespace cineflow {

LookupWindows::LookupWindows(const TensorView& coords, int radius, std::int64_t image,
                             std::int64_t row, std::int64_t first, int count) noexcept
    : image_(image), row_(row), first_(first) {
  const float* from =
      floats_at(coords, image * coords.strides[0] + row * coords.strides[2]);
  for (int pixel = 0; pixel < count; ++pixel) {
    const float* at = from + (first + pixel) * coords.strides[3];
    x_[pixel] = at[0];
    y_[pixel] = at[coords.strides[1]];
  }
  run_.count = count;
  run_.radius = radius;
}

LookupRun& LookupWindows::run(int level, std::int64_t height, std::int64_t width) noexcept {
  run_.height = height >> level;
  run_.width = width >> level;
  run_.pitch = run_.width;
  const float scale = level_scale(level);
  for (int pixel = 0; pixel < run_.count; ++pixel) {
    const auto x =
        window_at(x_[pixel] * scale, run_.radius, static_cast<std::int32_t>(run_.width));
    const auto y =
        window_at(y_[pixel] * scale, run_.radius, static_cast<std::int32_t>(run_.height));
    run_.x[pixel] = x.first;
    run_.y[pixel] = y.first;
    run_.origin[pixel] = 0;
    run_.x_fraction[pixel] = x.fraction;
    run_.y_fraction[pixel] = y.fraction;
  }
  return run_;
}

void LookupWindows::look_up(const TensorView& out, std::int64_t channel) noexcept {
  constexpr int kMostSamples = (2 * kMaxLookupRadius + 1) * (2 * kMaxLookupRadius + 1);
  const std::int64_t offset = image_ * out.strides[0] + channel * out.strides[1] +
                              row_ * out.strides[2] + first_ * out.strides[3];
  if (out.dtype == DType::kF32 && out.strides[3] == 1) {
    run_.out = static_cast<float*>(at(out, offset));
    run_.out_stride = out.strides[1];
    kernels().look_up(run_);
    return;
  }
  float samples[kMostSamples * kLookupPixels];
  run_.out = samples;
  run_.out_stride = kLookupPixels;
  kernels().look_up(run_);
  const int side = 2 * run_.radius + 1;
  with_float_storage(out.dtype, [&](auto tag) {
    using Result = typename decltype(tag)::type;
    for (std::int64_t sample = 0; sample < side * side; ++sample) {
      auto* to = static_cast<Result*>(at(out, offset + sample * out.strides[1]));
      for (std::int64_t pixel = 0; pixel < run_.count; ++pixel) {
        to[pixel * out.strides[3]] = from_float<Result>(samples[sample * kLookupPixels + pixel]);
      }
    }
  });
}

void use_windows(const float* windows, LookupRun* run) noexcept {
  run->dtype = DType::kF32;
  run->pitch = kMostColumns;
  for (int pixel = 0; pixel < run->count; ++pixel) {
    run->maps[pixel] = windows + pixel * kMostWindow;
    run->origin[pixel] = run->y[pixel] * kMostColumns + run->x[pixel];
    run->before[pixel] = pixel * kMostWindow;
    run->after[pixel] = kWindowFloats - pixel * kMostWindow;
  }
}

}  // namespace cineflow
