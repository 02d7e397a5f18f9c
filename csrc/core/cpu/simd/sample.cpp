// Bilinear samples of a run of pixels, for every channel.
//
// What the run reads was found before (places.cpp); here one channel after another is sampled.
// Every way to a pixel sums its corners in the same order, by multiply-adds, so that its bits
// depend on the pixel alone.
//
// Outside corners are read at the nearest pixel inside and weighted 0. That equals not reading
// them unless that pixel is infinite or NaN: where a result is, the run is sampled once more, and
// such samples with an outside corner follow the rule itself.
#include <type_traits>

#include "cpu/kernels.h"
#include "cpu/simd/corners.h"
#include "cpu/simd/isa.h"
#include "cpu/simd/vec.h"
#include "math/bilinear.h"
#include "math/dispatch.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

CINEFLOW_HD const std::int32_t* top_at(const Places& places, int start) {
  return places.together[start / kPlacesTogether].top + start % kPlacesTogether;
}

/// Only for vectors with a corner outside.
CINEFLOW_HD const std::int32_t* bottom_at(const Places& places, int start) {
  return places.edges[start / kPlacesTogether].bottom + start % kPlacesTogether;
}

/// Of the samples from `start` on, those with a corner outside.
CINEFLOW_HD Lanes outside_at(const Places& places, int start) {
  return places.outside[start / kPlacesTogether] >> start % kPlacesTogether & kAllLanes;
}

/// One sample with a corner outside, by the rule itself.
template <typename Source>
float sample_by_rule(const SampleChunk& chunk, const Places& places, const Source* plane,
                     int index) {
  const float x = places.together[index / kPlacesTogether].x[index % kPlacesTogether];
  const float y = places.together[index / kPlacesTogether].y[index % kPlacesTogether];
  const Tap column = tap_at(x, chunk.width, chunk.border);
  const Tap row = chunk.wraps ? tap_at(y, chunk.height + 1, Border::kZeros)
                              : tap_at(y, chunk.height, chunk.border);
  return sample(row, column, [&](std::int32_t r, std::int32_t c) {
    if (r == chunk.height) r = 0;
    return to_float(plane[r * chunk.row_stride + c * chunk.column_stride]);
  });
}

/// How much each corner counts, computed anew for each channel: for few of them, where arithmetic
/// is cheaper than stores.
struct ComputedCorners {
  Places places;

  CINEFLOW_HD Weights weights(int start) const {
    const int index = start / kPlacesTogether;
    const int within = start % kPlacesTogether;
    if (outside_at(places, start) == 0) {
      const PlacesTogether& at = places.together[index];
      return weights_inside(load(at.x + within), load(at.y + within));
    }
    const EdgesTogether& at = places.edges[index];
    return {load(at.top_left + within), load(at.top_right + within), load(at.bottom_left + within),
            load(at.bottom_right + within)};
  }
};

/// Arrays of 4096 bytes would all compete for the same lines of the first-level cache.
constexpr int kRoom = kMaxChunk + 16;

/// The same, written down: for many channels.
struct alignas(64) WrittenCorners {
  float top_left[kRoom];
  float top_right[kRoom];
  float bottom_left[kRoom];
  float bottom_right[kRoom];

  WrittenCorners(const Places& places, int count) {
    const ComputedCorners corners{places};
    for (int start = 0; start < count; start += kLanes) {
      const Weights at = corners.weights(start);
      store(top_left + start, at.top_left);
      store(top_right + start, at.top_right);
      store(bottom_left + start, at.bottom_left);
      store(bottom_right + start, at.bottom_right);
    }
  }

  CINEFLOW_HD Weights weights(int start) const {
    return {load(top_left + start), load(top_right + start), load(bottom_left + start),
            load(bottom_right + start)};
  }
};

/// What a loop keeps of them: a copy, which no store changes for all the compiler knows, where
/// there is little to copy.
template <typename Corners>
using Kept = std::conditional_t<std::is_same_v<Corners, WrittenCorners>, const Corners&, Corners>;

/// So few that weights are computed anew for each: one image, or the two components of a flow.
constexpr std::int64_t kFewChannels = 2;

/// How the four corners of a sample lie in memory.
enum class Layout {
  kAdjacent,  // right neighbours beside left ones, the lower row one stride below the upper
  kWrapping,  // as above, but for the lower row, which may be the first
  kApart,     // right neighbours anywhere
};

/// From a pixel to its neighbours, in elements; 0 where there are none.
struct Steps {
  explicit Steps(const SampleChunk& chunk)
      : right(chunk.width > 1 ? chunk.column_stride : 0),
        down(chunk.height > 1 ? chunk.row_stride : 0) {}
  std::int64_t right, down;
};

/// The pixels that the samples from `start` on read.
template <Layout kLayout, typename Source>
CINEFLOW_HD void load_corners(const Places& places, const Source* plane, const Steps& steps,
                              bool wraps, int start, Pairs (&rows)[2]) {
  const std::int32_t* top = top_at(places, start);
  // Only a sample with a corner outside can have its lower row anywhere else than below the upper.
  const bool may_wrap = kLayout != Layout::kAdjacent && wraps && outside_at(places, start) != 0;
  const std::int32_t* bottom = may_wrap ? bottom_at(places, start) : top;
  const Source* lower = may_wrap ? plane : plane + steps.down;
  if constexpr (kLayout == Layout::kApart) {
    rows[0] = load_apart(plane, top, steps.right);
    rows[1] = load_apart(lower, bottom, steps.right);
  } else if (may_wrap) {
    Pairs row[1];
    load_pairs({plane}, top, row);
    rows[0] = row[0];
    load_pairs({lower}, bottom, row);
    rows[1] = row[0];
  } else {
    load_pairs({plane, lower}, top, rows);
  }
}

/// Sample one channel into contiguous memory. Answers whether a sample was infinite or NaN; if
/// `kCareful`, such samples with an outside corner follow the rule. `bias` is contiguous, too;
/// null: chunk.offset. `next` is the plane to fetch meanwhile, or null.
template <Layout kLayout, bool kCareful, typename Source, typename Result, typename Corners>
__attribute__((noinline)) bool sample_channel(const SampleChunk& chunk, const Places& given,
                                              const Corners& given_corners, const Source* plane,
                                              const Source* next, const float* bias,
                                              Result* result) {
  const Places places = given;  // a copy, which no store changes for all the compiler knows
  const Kept<Corners> corners = given_corners;
  const Steps steps(chunk);
  const bool wraps = chunk.wraps;
  const F32s scale = splat(chunk.scale);
  const F32s offset = splat(chunk.offset);
  const int count = chunk.count;
  F32s poison{};
  const auto value_at = [&](int start) __attribute__((always_inline)) {
    Pairs rows[2];
    load_corners<kLayout>(places, plane, steps, wraps, start, rows);
    F32s value = weighted(rows, corners.weights(start));
    if constexpr (kCareful) {
      const F32s nothing = poisoned(F32s{}, value);
      const Lanes wrong = outside_at(places, start) & lanes_of(nothing != nothing);
      for (int lane = 0; lane < kLanes; ++lane) {
        if (wrong >> lane & 1u) value[lane] = sample_by_rule(chunk, places, plane, start + lane);
      }
    } else if (sizeof(Source) > 1) {
      poison = poisoned(poison, value);
    }
    return value;
  };
  int start = 0;
  for (; start + kLanes <= count; start += kLanes) {
    if (next != nullptr) {  // these vectors mostly lie in a row: their first and last lines are all
      __builtin_prefetch(next + top_at(places, start)[0]);
      __builtin_prefetch(next + top_at(places, start)[kLanes - 1]);
    }
    const F32s value = value_at(start);
    store(result + start, multiply_add(scale, value, bias ? load(bias + start) : offset));
  }
  if (const int left = count - start; left > 0) {
    const F32s value = value_at(start);
    const F32s added = bias ? load_first(bias + start, left) : offset;
    store_first(result + start, multiply_add(scale, value, added), left);
  }
  return lanes_of(poison != poison) != 0;
}

/// Images of so many bytes are not in the second-level cache when they are sampled.
constexpr std::int64_t kLargeImage = std::int64_t{2} << 20;

/// Sample every channel, one after another. A run meets a channel in a few places only, too few for
/// the processor to see the next one coming: in a large image it is fetched ahead.
template <Layout kLayout, typename Source, typename Result, typename Corners>
void sample_planar(const SampleChunk& chunk, const Places& places, const Corners& corners) {
  Result results[kRoom];
  float biases[kRoom];
  const bool direct = chunk.out_stride == 1;
  const bool large =
      chunk.channels * chunk.channel_stride > kLargeImage / std::int64_t{sizeof(Source)};
  for (std::int64_t channel = 0; channel < chunk.channels; ++channel) {
    const auto* plane = static_cast<const Source*>(chunk.src) + channel * chunk.channel_stride;
    auto* out = static_cast<Result*>(chunk.out) + channel * chunk.out_channel_stride;
    const float* bias = nullptr;
    if (chunk.addend != nullptr) {
      bias = chunk.addend + channel * chunk.addend_channel_stride;
      if (chunk.addend_stride != 1) {
        for (int at = 0; at < chunk.count; ++at) biases[at] = bias[at * chunk.addend_stride];
        bias = biases;
      }
    }
    const bool fetch = large && channel + 1 < chunk.channels;
    const Source* next = fetch ? plane + chunk.channel_stride : nullptr;
    Result* result = direct ? out : results;
    if (sample_channel<kLayout, false>(chunk, places, corners, plane, next, bias, result)) {
      next = nullptr;
      sample_channel<kLayout, true>(chunk, places, corners, plane, next, bias, result);
    }
    if (!direct) {
      for (int at = 0; at < chunk.count; ++at) out[at * chunk.out_stride] = results[at];
    }
  }
}

/// Vectors along the channels, which are neighbours in the source and in the result. Answers and
/// `kCareful` as in sample_channel.
template <bool kCareful, typename Source, typename Result>
__attribute__((noinline)) bool sample_channels_last(const SampleChunk& given, const Places& places,
                                                    const WrittenCorners& corners) {
  const SampleChunk chunk = given;  // a copy, which no store changes for all the compiler knows
  const auto* src = static_cast<const Source*>(chunk.src);
  const Steps steps(chunk);
  const F32s scale = splat(chunk.scale);
  const F32s offset = splat(chunk.offset);
  const std::int64_t channels = chunk.channels;
  const std::int64_t whole = channels - channels % kLanes;
  const auto left = static_cast<int>(channels % kLanes);
  F32s poison{};
  for (int index = 0; index < chunk.count; ++index) {
    const Source* top = src + *top_at(places, index);
    const bool may_wrap = chunk.wraps && outside_at(places, index / kLanes * kLanes) != 0;
    const Source* bottom = may_wrap ? src + *bottom_at(places, index) : top + steps.down;
    auto* out = static_cast<Result*>(chunk.out) + index * chunk.out_stride;
    const Weights weights{splat(corners.top_left[index]), splat(corners.top_right[index]),
                          splat(corners.bottom_left[index]), splat(corners.bottom_right[index])};
    if constexpr (kCareful) poison = F32s{};
    for (std::int64_t channel = 0; channel < whole; channel += kLanes) {
      const Pairs rows[2] = {{load(top + channel), load(top + steps.right + channel)},
                             {load(bottom + channel), load(bottom + steps.right + channel)}};
      const F32s value = weighted(rows, weights);
      if (sizeof(Source) > 1) poison = poisoned(poison, value);
      store(out + channel, multiply_add(scale, value, offset));
    }
    if (left > 0) {
      const Pairs rows[2] = {
          {load_first(top + whole, left), load_first(top + steps.right + whole, left)},
          {load_first(bottom + whole, left), load_first(bottom + steps.right + whole, left)}};
      const F32s value = weighted(rows, weights);
      if (sizeof(Source) > 1) poison = poisoned(poison, value);
      store_first(out + whole, multiply_add(scale, value, offset), left);
    }
    if constexpr (kCareful) {
      const bool outside = places.outside[index / kPlacesTogether] >> index % kPlacesTogether & 1u;
      if (!outside || lanes_of(poison != poison) == 0) continue;
      for (std::int64_t channel = 0; channel < channels; ++channel) {
        const float value = sample_by_rule(given, places, src + channel, index);
        out[channel] = from_float<Result>(multiply_add(chunk.scale, value, chunk.offset));
      }
    }
  }
  return lanes_of(poison != poison) != 0;
}

template <typename Source, typename Result, typename Corners>
void sample_planar_as_laid_out(const SampleChunk& chunk, const Places& places,
                               const Corners& corners) {
  if (chunk.column_stride != 1 || chunk.width == 1) {
    sample_planar<Layout::kApart, Source, Result>(chunk, places, corners);
  } else if (chunk.wraps) {
    sample_planar<Layout::kWrapping, Source, Result>(chunk, places, corners);
  } else {
    sample_planar<Layout::kAdjacent, Source, Result>(chunk, places, corners);
  }
}

template <typename Source, typename Result>
void sample_any(const SampleChunk& chunk, const Places& places) {
  const bool channels_last = chunk.channels > 1 && chunk.channel_stride == 1 &&
                             chunk.out_channel_stride == 1 && chunk.addend == nullptr;
  if (!channels_last && chunk.channels <= kFewChannels) {
    const ComputedCorners corners{places};
    return sample_planar_as_laid_out<Source, Result>(chunk, places, corners);
  }
  const WrittenCorners corners(places, chunk.count);
  if (!channels_last) {
    sample_planar_as_laid_out<Source, Result>(chunk, places, corners);
  } else if (sample_channels_last<false, Source, Result>(chunk, places, corners)) {
    sample_channels_last<true, Source, Result>(chunk, places, corners);
  }
}

/// Where the source has no pixels, every sample is 0.
template <typename Result>
void sample_nothing(const SampleChunk& chunk) {
  for (std::int64_t channel = 0; channel < chunk.channels; ++channel) {
    auto* out = static_cast<Result*>(chunk.out) + channel * chunk.out_channel_stride;
    const float* addend = chunk.addend + channel * chunk.addend_channel_stride;
    for (int at = 0; at < chunk.count; ++at) {
      const float bias = chunk.addend == nullptr ? chunk.offset : addend[at * chunk.addend_stride];
      out[at * chunk.out_stride] = from_float<Result>(bias);
    }
  }
}

}  // namespace

void sample(const SampleChunk& chunk, const Places& places) noexcept {
  with_float_storage(chunk.out_dtype, [&](auto result) {
    using Result = typename decltype(result)::type;
    if (chunk.height == 0 || chunk.width == 0) return sample_nothing<Result>(chunk);
    with_storage(chunk.src_dtype, [&](auto source) {
      sample_any<typename decltype(source)::type, Result>(chunk, places);
    });
  });
}

}  // namespace cineflow::CINEFLOW_ISA
