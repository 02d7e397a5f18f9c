#include "cpu/all_pairs.h"

#include "cpu/views.h"
#include "math/dispatch.h"
#include "math/window.h"

namespace cineflow {

LookupWindows::LookupWindows(const TensorView& coords, int radius, std::int64_t image,
                             std::int64_t row, std::int64_t first, int count) noexcept
    : image_(image), row_(row), first_(first), count_(count), radius_(radius) {
  const float* from = floats_at(coords, image * coords.strides[0] + row * coords.strides[2]);
  for (int pixel = 0; pixel < count; ++pixel) {
    const float* at = from + (first + pixel) * coords.strides[3];
    x_[pixel] = at[0];
    y_[pixel] = at[coords.strides[1]];
  }
}

LookupRun& LookupWindows::level(int level, std::int64_t height, std::int64_t width) noexcept {
  LookupRun& run = levels_[level];
  run.count = count_;
  run.radius = radius_;
  run.height = height >> level;
  run.width = width >> level;
  run.pitch = run.width;
  run.next = nullptr;
  const float scale = level_scale(level);
  for (int pixel = 0; pixel < count_; ++pixel) {
    const auto x = window_at(x_[pixel] * scale, radius_, static_cast<std::int32_t>(run.width));
    const auto y = window_at(y_[pixel] * scale, radius_, static_cast<std::int32_t>(run.height));
    run.x[pixel] = x.first;
    run.y[pixel] = y.first;
    run.origin[pixel] = 0;
    run.x_fraction[pixel] = x.fraction;
    run.y_fraction[pixel] = y.fraction;
  }
  return run;
}

void LookupWindows::look_up(int level, const TensorView& out) noexcept {
  constexpr int kMostSamples = (2 * kMaxLookupRadius + 1) * (2 * kMaxLookupRadius + 1);
  LookupRun& run = levels_[level];
  const std::int64_t count = (2 * radius_ + 1) * (2 * radius_ + 1);
  const std::int64_t offset = image_ * out.strides[0] + level * count * out.strides[1] +
                              row_ * out.strides[2] + first_ * out.strides[3];
  if (out.dtype == DType::kF32 && out.strides[3] == 1) {
    run.out = static_cast<float*>(at(out, offset));
    run.out_stride = out.strides[1];
    kernels().look_up(run);
    return;
  }
  float samples[kMostSamples * kLookupPixels];
  run.out = samples;
  run.out_stride = kLookupPixels;
  kernels().look_up(run);
  with_float_storage(out.dtype, [&](auto tag) {
    using Result = typename decltype(tag)::type;
    for (std::int64_t sample = 0; sample < count; ++sample) {
      auto* to = static_cast<Result*>(at(out, offset + sample * out.strides[1]));
      for (std::int64_t pixel = 0; pixel < count_; ++pixel) {
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
