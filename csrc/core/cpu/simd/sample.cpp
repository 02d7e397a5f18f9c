// Bilinear samples of a run of pixels, for every channel.
//
// The taps of the run are computed once. Then, for neighbouring columns in memory, each pixel
// costs two 64-bit loads, of two neighbours each: on x86 faster than gather instructions. For
// neighbouring channels in memory (channels-last) the vectors run along the channels instead.
//
// Outside corners are read at the nearest inside pixel and weighted 0. That equals not reading
// them unless the pixel is infinite or NaN, and then so is the result: the run is done again by
// the rule itself.
#include "cpu/kernels.h"
#include "cpu/simd/isa.h"
#include "cpu/simd/vec.h"
#include "math/bilinear.h"
#include "math/dispatch.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

/// Arrays of 4096 bytes would all compete for the same lines of the first-level cache.
constexpr int kPlanRoom = kMaxChunk + 16;

struct Plan {
  std::int32_t top[kPlanRoom];     // offset of the upper left corner, in elements
  std::int32_t bottom[kPlanRoom];  // of the lower left one
  float top_left[kPlanRoom];       // weights of the four corners
  float top_right[kPlanRoom];
  float bottom_left[kPlanRoom];
  float bottom_right[kPlanRoom];
  std::int64_t right = 0;  // from a left corner to its right neighbour
};

/// A tap moved inside: both neighbours exist, outside ones have weight 0.
struct Inside {
  I32s low;
  F32s low_weight;
  F32s high_weight;
};

CINEFLOW_HD Inside moved_inside(const Tap<Vectors>& tap, std::int32_t size) {
  const F32s zero{};
  const F32s low_weight = tap.low_inside ? tap.low_weight : zero;
  const F32s high_weight = tap.high_inside ? tap.high_weight : zero;
  if (size == 1) return {I32s{}, low_weight + high_weight, zero};
  const I32s before = tap.low < 0;         // only the high neighbour is inside
  const I32s beyond = tap.low > size - 2;  // only the low one
  return {before   ? I32s{}
          : beyond ? I32s{} + (size - 2)
                   : tap.low,
          before   ? high_weight
          : beyond ? zero
                   : low_weight,
          before   ? zero
          : beyond ? low_weight
                   : high_weight};
}

/// The tap of a periodic axis: coordinates in [0, size), the neighbour of the last is the first.
struct Periodic {
  I32s low, high;
  F32s low_weight, high_weight;
};

CINEFLOW_HD Periodic periodic_tap(F32s coordinate, std::int32_t size) {
  // On an axis one longer than it is, the wrapped neighbour is inside.
  const Inside tap = moved_inside(tap_at<Vectors>(coordinate, size + 1, Border::kZeros), size + 1);
  const I32s high = tap.low + 1;
  return {tap.low, high == size ? I32s{} : high, tap.low_weight, tap.high_weight};
}

/// The two rows of each pixel, as offsets, and their weights.
struct Rows {
  I32s top, bottom;
  F32s upper, lower;
};

CINEFLOW_HD Rows rows_at(const SampleChunk& chunk, F32s y) {
  const auto stride = static_cast<std::int32_t>(chunk.row_stride);
  if (chunk.wraps) {
    const Periodic row = periodic_tap(y, chunk.height);
    return {row.low * stride, row.high * stride, row.low_weight, row.high_weight};
  }
  const Inside row = moved_inside(tap_at<Vectors>(y, chunk.height, chunk.border), chunk.height);
  const I32s top = row.low * stride;
  return {top, chunk.height > 1 ? top + stride : top, row.low_weight, row.high_weight};
}

/// kLanes pixels, any of which may have neighbours outside.
CINEFLOW_HD void plan_any(const SampleChunk& chunk, int start, F32s x, F32s y, Plan& plan) {
  const Inside column = moved_inside(tap_at<Vectors>(x, chunk.width, chunk.border), chunk.width);
  const Rows row = rows_at(chunk, y);
  const I32s left = column.low * static_cast<std::int32_t>(chunk.column_stride);
  store(plan.top + start, row.top + left);
  store(plan.bottom + start, row.bottom + left);
  const F32s upper = row.upper * chunk.scale;
  const F32s lower = row.lower * chunk.scale;
  store(plan.top_left + start, upper * column.low_weight);
  store(plan.top_right + start, upper * column.high_weight);
  store(plan.bottom_left + start, lower * column.low_weight);
  store(plan.bottom_right + start, lower * column.high_weight);
}

/// kLanes pixels whose four neighbours are all inside: what plan_any does, without its questions.
CINEFLOW_HD void plan_interior(const SampleChunk& chunk, int start, F32s x, F32s y, Plan& plan) {
  const I32s left = Vectors::truncate(x);
  const I32s above = Vectors::truncate(y);
  const I32s top = above * static_cast<std::int32_t>(chunk.row_stride) +
                   left * static_cast<std::int32_t>(chunk.column_stride);
  store(plan.top + start, top);
  store(plan.bottom + start, top + static_cast<std::int32_t>(chunk.row_stride));
  const F32s right_weight = x - Vectors::real(left);
  const F32s left_weight = 1.0f - right_weight;
  const F32s below_weight = y - Vectors::real(above);
  const F32s upper = (1.0f - below_weight) * chunk.scale;
  const F32s lower = below_weight * chunk.scale;
  store(plan.top_left + start, upper * left_weight);
  store(plan.top_right + start, upper * right_weight);
  store(plan.bottom_left + start, lower * left_weight);
  store(plan.bottom_right + start, lower * right_weight);
}

void make_plan(const SampleChunk& chunk, Plan& plan) {
  plan.right = chunk.width > 1 ? chunk.column_stride : 0;
  const F32s last_column = splat(static_cast<float>(chunk.width - 1));
  const F32s last_row = splat(static_cast<float>(chunk.height - 1));
  for (int start = 0; start < chunk.count; start += kLanes) {
    const F32s x = load(chunk.x + start);
    const F32s y = load(chunk.y + start);
    const I32s interior = (x >= 0.0f) & (x < last_column) & (y >= 0.0f) & (y < last_row);
    if (any(~interior)) {
      plan_any(chunk, start, x, y, plan);
    } else {
      plan_interior(chunk, start, x, y, plan);
    }
  }
}

/// By the rule itself, pixel by pixel.
template <typename Source, typename Result>
void sample_by_rule(const SampleChunk& chunk, std::int64_t channel) {
  const auto* plane = static_cast<const Source*>(chunk.src) + channel * chunk.channel_stride;
  auto* out = static_cast<Result*>(chunk.out) + channel * chunk.out_channel_stride;
  for (int index = 0; index < chunk.count; ++index) {
    const Tap<> column = tap_at(chunk.x[index], chunk.width, chunk.border);
    const Tap<> row = chunk.wraps ? tap_at(chunk.y[index], chunk.height + 1, Border::kZeros)
                                  : tap_at(chunk.y[index], chunk.height, chunk.border);
    const float value = sample(row, column, [&](std::int32_t r, std::int32_t c) {
      if (r == chunk.height) r = 0;
      return to_float(plane[r * chunk.row_stride + c * chunk.column_stride]);
    });
    const float bias =
        chunk.addend == nullptr
            ? chunk.offset
            : chunk.addend[channel * chunk.addend_channel_stride + index * chunk.addend_stride];
    out[index * chunk.out_stride] = from_float<Result>(chunk.scale * value + bias);
  }
}

template <typename Source, typename Result>
void sample_by_rule_all(const SampleChunk& chunk) {
  for (std::int64_t channel = 0; channel < chunk.channels; ++channel) {
    sample_by_rule<Source, Result>(chunk, channel);
  }
}

/// Both rows of kLanes pixels. Where the lower row lies `down` elements below the upper one, each
/// offset is read once; 0: it lies anywhere.
template <typename Source>
CINEFLOW_HD void load_corners(const Source* plane, [[maybe_unused]] std::int64_t down,
                              const Plan& plan, int start, Pairs& above, Pairs& below) {
#if defined(__AVX512F__)
  if constexpr (sizeof(Source) == 4) {
    if (down != 0) {
      F32s upper[2];
      F32s lower[2];
      for (int half = 0; half < 2; ++half) {
        __m128 top[4];
        __m128 bottom[4];
#pragma GCC unroll 4
        for (int pair = 0; pair < 4; ++pair) {
          const std::int32_t* offsets = plan.top + start + 8 * half + 2 * pair;
          top[pair] = two_pairs(plane, offsets);
          bottom[pair] = two_pairs(plane + down, offsets);
        }
        upper[half] = joined(top);
        lower[half] = joined(bottom);
      }
      above = split(upper[0], upper[1]);
      below = split(lower[0], lower[1]);
      return;
    }
  }
#endif
  above = load_pairs(plane, plan.top + start);
  below = load_pairs(plane, plan.bottom + start);
}

/// The addend of kLanes pixels, those beyond the last one excepted.
F32s biases(const SampleChunk& chunk, const float* addend, int start) {
  const int left = chunk.count - start;
  if (chunk.addend_stride == 1 && left >= kLanes) return load(addend + start);
  float values[kLanes] = {};
  for (int lane = 0; lane < (left < kLanes ? left : kLanes); ++lane) {
    values[lane] = addend[(start + lane) * chunk.addend_stride];
  }
  return load(values);
}

/// One channel, kLanes pixels at a time. Answers NaN lanes where a result is infinite or NaN.
template <bool kAdjacent, typename Source>
F32s sample_plane(const SampleChunk& chunk, const Plan& plan, std::int64_t channel, float* result) {
  const auto* plane = static_cast<const Source*>(chunk.src) + channel * chunk.channel_stride;
  const float* addend = chunk.addend;
  if (addend != nullptr) addend += channel * chunk.addend_channel_stride;
  const std::int64_t step = plan.right;
  const F32s offset = splat(chunk.offset);
  const int count = chunk.count;
  F32s poison{};
  for (int start = 0; start < count; start += kLanes) {
    Pairs above, below;
    if constexpr (kAdjacent) {
      load_corners(plane, chunk.wraps || chunk.height == 1 ? 0 : chunk.row_stride, plan, start,
                   above, below);
    } else {
      above = load_apart(plane, plan.top + start, step);
      below = load_apart(plane, plan.bottom + start, step);
    }
    F32s value =
        above.left * load(plan.top_left + start) + above.right * load(plan.top_right + start) +
        below.left * load(plan.bottom_left + start) + below.right * load(plan.bottom_right + start);
    if (sizeof(Source) > 1) poison += value * 0.0f;
    value += addend == nullptr ? offset : biases(chunk, addend, start);
    if (start + kLanes <= count) {
      store(result + start, value);
    } else {
      store_some(result + start, value, count - start);
    }
  }
  return poison;
}

template <bool kAdjacent, typename Source, typename Result>
void sample_planar(const SampleChunk& chunk, const Plan& plan) {
  const bool direct = sizeof(Result) == 4 && chunk.out_stride == 1;
  float row[kMaxChunk];
  for (std::int64_t channel = 0; channel < chunk.channels; ++channel) {
    auto* out = static_cast<Result*>(chunk.out) + channel * chunk.out_channel_stride;
    float* result = direct ? reinterpret_cast<float*>(out) : row;
    const F32s poison = sample_plane<kAdjacent, Source>(chunk, plan, channel, result);
    if (any(poison != poison)) {
      sample_by_rule<Source, Result>(chunk, channel);
    } else if (!direct) {
      for (int index = 0; index < chunk.count; ++index) {
        out[index * chunk.out_stride] = from_float<Result>(row[index]);
      }
    }
  }
}

/// Vectors along the channels, which are neighbours in the source and in the result.
template <typename Source, typename Result>
void sample_channels_last(const SampleChunk& chunk, const Plan& plan) {
  const auto* src = static_cast<const Source*>(chunk.src);
  F32s poison{};
  for (int index = 0; index < chunk.count; ++index) {
    const Source* top = src + plan.top[index];
    const Source* bottom = src + plan.bottom[index];
    auto* out = static_cast<Result*>(chunk.out) + index * chunk.out_stride;
    const float top_left = plan.top_left[index];
    const float top_right = plan.top_right[index];
    const float bottom_left = plan.bottom_left[index];
    const float bottom_right = plan.bottom_right[index];
    std::int64_t channel = 0;
    for (; channel + kLanes <= chunk.channels; channel += kLanes) {
      F32s value = load(top + channel) * top_left + load(top + plan.right + channel) * top_right +
                   load(bottom + channel) * bottom_left +
                   load(bottom + plan.right + channel) * bottom_right;
      if (sizeof(Source) > 1) poison += value * 0.0f;
      value += chunk.offset;
      if constexpr (sizeof(Result) == 4) {
        store(out + channel, value);
      } else {
        for (int lane = 0; lane < kLanes; ++lane) {
          out[channel + lane] = from_float<Result>(value[lane]);
        }
      }
    }
    for (; channel < chunk.channels; ++channel) {
      const float value = to_float(top[channel]) * top_left +
                          to_float(top[plan.right + channel]) * top_right +
                          to_float(bottom[channel]) * bottom_left +
                          to_float(bottom[plan.right + channel]) * bottom_right;
      poison[0] += value * 0.0f;
      out[channel] = from_float<Result>(value + chunk.offset);
    }
  }
  if (any(poison != poison)) sample_by_rule_all<Source, Result>(chunk);
}

}  // namespace

void sample(const SampleChunk& chunk) noexcept {
  const bool empty_source = chunk.height == 0 || chunk.width == 0;
  Plan plan;
  if (!empty_source) make_plan(chunk, plan);
  const bool adjacent = plan.right == 1;
  const bool channels_last = chunk.channels > 1 && chunk.channel_stride == 1 &&
                             chunk.out_channel_stride == 1 && chunk.addend == nullptr;
  with_storage(chunk.src_dtype, [&](auto source) {
    with_float_storage(chunk.out_dtype, [&](auto result) {
      using Source = typename decltype(source)::type;
      using Result = typename decltype(result)::type;
      if (empty_source) {
        sample_by_rule_all<Source, Result>(chunk);
      } else if (channels_last) {
        sample_channels_last<Source, Result>(chunk, plan);
      } else if (adjacent) {
        sample_planar<true, Source, Result>(chunk, plan);
      } else {
        sample_planar<false, Source, Result>(chunk, plan);
      }
    });
  });
}

}  // namespace cineflow::CINEFLOW_ISA
