// Locates and samples one or two channels in one pass.
//
// For so few channels, storing located samples costs as much as reading their pixels.
#include "cpu/simd/kernels.h"
#include "cpu/simd/locate.h"
#include "math/dispatch.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

/// Samples `kChannels` channels, and adds run.addend where `kAdds`. Returns whether all samples
/// were finite.
template <int kChannels, bool kAdds, typename Source, typename Result>
__attribute__((noinline)) bool sample_grid(const SampleRun& given,
                                           const SamplePositions& positions) {
  const SampleRun run = given;  // copies: the compiler then knows that no store changes them
  const float* const xs = positions.x;
  const float* const ys = positions.y;
  const auto* const src = static_cast<const Source*>(run.src);
  auto* const out = static_cast<Result*>(run.out);
  const F32s scale = splat(run.scale);
  const F32s bias = splat(run.bias);
  PixelCursor cursor(positions);
  F32s non_finite{};

  // Offsets go through memory, because pixels are loaded one by one. They are computed two vectors
  // ahead, so that the stores have finished when they are read.
  constexpr int kSlots = 4;
  alignas(64) std::int32_t top_offsets[kSlots][kLanes];
  const auto locate_at = [&](int start, F32s x, F32s y) __attribute__((always_inline)) {
    cursor.add_pixels(x, y);
    const LocatedSamples located = locate<true>(run, x, y);
    std::int32_t* offsets = top_offsets[start / kLanes % kSlots];
    if (__builtin_expect(located.outside == 0, 1)) {
      store(offsets, located.top_offset);
      return weights_inside(located.x, located.y);
    }
    const VectorCorners corners = corners_at<true>(run, x, y);
    store(offsets, corners.top_offset);
    return corners.weights;
  };
  const auto locate_vector = [&](int start) __attribute__((always_inline)) {
    return locate_at(start, load(xs + start), load(ys + start));
  };
  const auto value_of = [&](int channel, int start,
                            const CornerWeights& weights) __attribute__((always_inline)) {
    const Source* plane = src + channel * run.channel_stride;
    PixelPairs rows[2];
    load_pairs({plane, plane + run.row_stride}, top_offsets[start / kLanes % kSlots], rows);
    const F32s value = weighted_sum(rows, weights);
    if (sizeof(Source) > 1) non_finite = mark_non_finite(non_finite, value);
    return value;
  };
  const auto addend_at = [&](int channel, int start) __attribute__((always_inline)) {
    return run.addend + channel * run.addend_channel_stride + start;
  };
  const auto sample_vector = [&](int start,
                                 const CornerWeights& weights) __attribute__((always_inline)) {
#pragma GCC unroll 2
    for (int channel = 0; channel < kChannels; ++channel) {
      const F32s value = value_of(channel, start, weights);
      const F32s addend = kAdds ? load(addend_at(channel, start)) : bias;
      store(out + channel * run.out_channel_stride + start, multiply_add(scale, value, addend));
    }
  };

  const int whole = run.count / kLanes * kLanes;
  if (whole > 0) {
    CornerWeights now = locate_vector(0);
    CornerWeights next = whole > kLanes ? locate_vector(kLanes) : now;
    int start = 0;
    for (; start + 2 * kLanes < whole; start += kLanes) {
      const CornerWeights weights = now;
      now = next;
      next = locate_vector(start + 2 * kLanes);
      sample_vector(start, weights);
    }
    for (; start < whole; start += kLanes) {
      sample_vector(start, now);
      now = next;
    }
  }
  if (const int left = run.count - whole; left > 0) {
    const CornerWeights weights =
        locate_at(whole, load_first(xs + whole, left), load_first(ys + whole, left));
    for (int channel = 0; channel < kChannels; ++channel) {
      const F32s value = value_of(channel, whole, weights);
      const F32s addend = kAdds ? load_first(addend_at(channel, whole), left) : bias;
      store_first(out + channel * run.out_channel_stride + whole,
                  multiply_add(scale, value, addend), left);
    }
  }
  return lanes_of(non_finite != non_finite) == 0;
}

}  // namespace

bool sample_in_one_pass(const SampleRun& run, const SamplePositions& positions) noexcept {
  const bool few = run.channels == 1 || run.channels == 2;
  const bool fits = positions.width > 0 && few && !run.wraps && run.height > 1 && run.width > 1 &&
                    run.column_stride == 1 && run.out_stride == 1;
  if (!fits) return false;
  if (run.addend != nullptr) {  // as in a composition of flows
    return run.channels == 2 && run.addend_stride == 1 && run.src_dtype == DType::kF32 &&
           run.out_dtype == DType::kF32 && sample_grid<2, true, float, float>(run, positions);
  }
  bool done = false;
  with_float_storage(run.out_dtype, [&](auto result) {
    using Result = typename decltype(result)::type;
    with_storage(run.src_dtype, [&](auto source) {
      using Source = typename decltype(source)::type;
      done = run.channels == 1 ? sample_grid<1, false, Source, Result>(run, positions)
                               : sample_grid<2, false, Source, Result>(run, positions);
    });
  });
  return done;
}

}  // namespace cineflow::CINEFLOW_ISA
