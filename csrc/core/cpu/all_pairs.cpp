#include "cpu/all_pairs.h"

#include <cstring>

#include "cpu/views.h"
#include "math/dispatch.h"
#include "math/window.h"

namespace cineflow {

LookupWindows::LookupWindows(const TensorView& coords, const TensorView& out, int radius,
                             std::int64_t image, std::int64_t row, std::int64_t first,
                             int count) noexcept
    : out_(out), image_(image), row_(row), first_(first), count_(count), radius_(radius) {
  const float* from = floats_at(coords, image * coords.strides[0] + row * coords.strides[2]);
  for (int pixel = 0; pixel < kLookupPixels; ++pixel) {
    const float* at = from + (first + std::min(pixel, count - 1)) * coords.strides[3];
    x_[pixel] = at[0];
    y_[pixel] = at[coords.strides[1]];
  }
}

LookupRun& LookupWindows::place(int level, std::int64_t height, std::int64_t width) noexcept {
  LookupRun& run = levels_[level];
  run.count = count_;
  run.radius = radius_;
  run.height = height >> level;
  run.width = width >> level;
  run.pitch = run.width;
  run.next = nullptr;
  run.out = nullptr;
  if (out_.dtype == DType::kF32 && out_.strides[3] == 1 && count_ == kLookupPixels) {
    run.out = static_cast<float*>(at(out_, offset_of(level)));
    run.out_stride = out_.strides[1];
  }
  const float scale = level_scale(level);
  for (int pixel = 0; pixel < kLookupPixels; ++pixel) {
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

std::int64_t LookupWindows::offset_of(int level) const noexcept {
  const std::int64_t count = (2 * radius_ + 1) * (2 * radius_ + 1);
  return image_ * out_.strides[0] + level * count * out_.strides[1] + row_ * out_.strides[2] +
         first_ * out_.strides[3];
}

void LookupWindows::look_up(int level) noexcept {
  constexpr int kMostSamples = (2 * kMaxLookupRadius + 1) * (2 * kMaxLookupRadius + 1);
  LookupRun& run = levels_[level];
  if (run.out != nullptr) {
    kernels().look_up(run);
    return;
  }
  float samples[kMostSamples * kLookupPixels];
  run.out = samples;
  run.out_stride = kLookupPixels;
  kernels().look_up(run);
  run.out = nullptr;
  const std::int64_t count = (2 * radius_ + 1) * (2 * radius_ + 1);
  if (out_.dtype == DType::kF32 && out_.strides[3] == 1) {
    for (std::int64_t sample = 0; sample < count; ++sample) {
      std::memcpy(at(out_, offset_of(level) + sample * out_.strides[1]),
                  samples + sample * kLookupPixels, count_ * sizeof(float));
    }
    return;
  }
  with_float_storage(out_.dtype, [&](auto tag) {
    using Result = typename decltype(tag)::type;
    for (std::int64_t sample = 0; sample < count; ++sample) {
      auto* to = static_cast<Result*>(at(out_, offset_of(level) + sample * out_.strides[1]));
      for (std::int64_t pixel = 0; pixel < count_; ++pixel) {
        to[pixel * out_.strides[3]] = from_float<Result>(samples[sample * kLookupPixels + pixel]);
      }
    }
  });
}

void use_windows(const float* windows, LookupRun* run) noexcept {
  run->dtype = DType::kF32;
  run->pitch = kMostColumns;
  for (int pixel = 0; pixel < kLookupPixels; ++pixel) {
    const std::int64_t start = std::min(pixel, run->count - 1) * kMostWindow;
    run->maps[pixel] = windows + start;
    run->origin[pixel] = std::int64_t{run->y[pixel]} * kMostColumns + run->x[pixel];
    run->before[pixel] = start;
    run->after[pixel] = kWindowFloats - start;
  }
}

}  // namespace cineflow
