// Bilinear samples of a run of pixels, for every channel.
//
// Where the run reads is found once and written down; then one channel after another is sampled.
// Every way to a pixel sums its corners in the same order, by multiply-adds, so that its bits
// depend on the pixel alone.
//
// Outside corners are read at the nearest pixel inside and weighted 0. That equals not reading
// them unless that pixel is infinite or NaN: where a result is, the run is sampled once more, and
// such samples with an outside corner follow the rule itself.
#include "cpu/kernels.h"
#include "cpu/simd/corners.h"
#include "cpu/simd/isa.h"
#include "cpu/simd/neighbours.h"
#include "cpu/simd/vec.h"
#include "math/bilinear.h"
#include "math/dispatch.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

/// Arrays of 4096 bytes would all compete for the same lines of the first-level cache.
constexpr int kRoom = kMaxChunk + 16;

/// Where the samples of a chunk read.
struct alignas(64) Places {
  std::int32_t top[kRoom];        // offsets of the upper left corners, in elements
  std::int32_t bottom[kRoom];     // of the lower left ones
  Lanes outside[kRoom / kLanes];  // of each vector: samples with a corner outside
};

/// How much each corner counts.
struct alignas(64) WeightRows {
  float top_left[kRoom];
  float top_right[kRoom];
  float bottom_left[kRoom];
  float bottom_right[kRoom];
};

/// Write down the places and, if `kWeights`, the weights; else `weights` may be null.
template <bool kWeights>
void find_places(const SampleChunk& given, Places& places, WeightRows* weights) {
  const SampleChunk chunk = given;  // a copy, which no store changes for all the compiler knows
  for (int start = 0; start < chunk.count; start += kLanes) {
    const F32s x = load(chunk.x + start);
    const F32s y = load(chunk.y + start);
    const Lanes inside = lanes_inside(chunk, x, y);
    const Corners at =
        inside == kAllLanes ? corners_inside(chunk, x, y) : corners_anywhere(chunk, x, y);
    store(places.top + start, at.top);
    if (chunk.wraps) store(places.bottom + start, at.bottom);
    places.outside[start / kLanes] = ~inside & first_lanes(chunk.count - start);
    if constexpr (kWeights) {
      store(weights->top_left + start, at.weights.top_left);
      store(weights->top_right + start, at.weights.top_right);
      store(weights->bottom_left + start, at.weights.bottom_left);
      store(weights->bottom_right + start, at.weights.bottom_right);
    }
  }
}

/// Weights as they were written down: for many channels.
struct WrittenWeights {
  const WeightRows& rows;

  CINEFLOW_HD Weights at(int start, Lanes) const {
    return {load(rows.top_left + start), load(rows.top_right + start),
            load(rows.bottom_left + start), load(rows.bottom_right + start)};
  }
};

/// Weights computed again from the coordinates: for few channels, where arithmetic is cheaper than
/// stores, behind which some processors make loads wait.
struct ComputedWeights {
  SampleChunk chunk;

  CINEFLOW_HD Weights at(int start, Lanes outside) const {
    const F32s x = load(chunk.x + start);
    const F32s y = load(chunk.y + start);
    return (outside == 0 ? corners_inside(chunk, x, y) : corners_anywhere(chunk, x, y)).weights;
  }
};

constexpr std::int64_t kFewChannels = 2;  // one image, or the two components of a flow

CINEFLOW_HD F32s weighted(const Pairs (&rows)[2], const Weights& weights) {
  F32s sum = rows[0].left * weights.top_left;
  sum = multiply_add(rows[0].right, weights.top_right, sum);
  sum = multiply_add(rows[1].left, weights.bottom_left, sum);
  return multiply_add(rows[1].right, weights.bottom_right, sum);
}

/// One sample by the rule itself.
template <typename Source>
float sample_by_rule(const SampleChunk& chunk, const Source* plane, int index) {
  const Tap<> column = tap_at(chunk.x[index], chunk.width, chunk.border);
  const Tap<> row = chunk.wraps ? tap_at(chunk.y[index], chunk.height + 1, Border::kZeros)
                                : tap_at(chunk.y[index], chunk.height, chunk.border);
  return sample(row, column, [&](std::int32_t r, std::int32_t c) {
    if (r == chunk.height) r = 0;
    return to_float(plane[r * chunk.row_stride + c * chunk.column_stride]);
  });
}

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

/// The corners of the samples from `start` on.
template <Layout kLayout, typename Source>
CINEFLOW_HD void load_corners(const Places& places, const Source* plane, const Steps& steps,
                              [[maybe_unused]] bool wraps, int start, Pairs (&rows)[2]) {
  const std::int32_t* top = places.top + start;
  [[maybe_unused]] const std::int32_t* bottom = places.bottom + start;
  if constexpr (kLayout == Layout::kAdjacent) {
    load_pairs({plane, plane + steps.down}, top, rows);
  } else if constexpr (kLayout == Layout::kWrapping) {
    Pairs row[1];
    load_pairs({plane}, top, row);
    rows[0] = row[0];
    load_pairs({plane}, bottom, row);
    rows[1] = row[0];
  } else {
    rows[0] = load_apart(plane, top, steps.right);
    rows[1] = wraps ? load_apart(plane, bottom, steps.right)
                    : load_apart(plane + steps.down, top, steps.right);
  }
}

/// Sample one channel into contiguous memory. Answers whether a sample was infinite or NaN; if
/// `kCareful`, such samples with an outside corner follow the rule. `bias` is contiguous, too, and
/// padded; null: chunk.offset.
template <Layout kLayout, bool kCareful, typename Source, typename Result, typename WeightsAt>
__attribute__((noinline)) bool sample_channel(const SampleChunk& chunk, const Places& places,
                                              const WeightsAt& given, const Source* plane,
                                              const float* bias, Result* result) {
  const WeightsAt weights = given;
  const Steps steps(chunk);
  const bool wraps = chunk.wraps;
  const F32s scale = splat(chunk.scale);
  const F32s offset = splat(chunk.offset);
  const int count = chunk.count;
  F32s poison{};
  for (int start = 0; start < count; start += kLanes) {
    Pairs rows[2];
    load_corners<kLayout>(places, plane, steps, wraps, start, rows);
    const Lanes outside = places.outside[start / kLanes];
    F32s value = weighted(rows, weights.at(start, outside));
    const F32s nothing = value * 0.0f;
    if constexpr (kCareful) {
      const Lanes wrong = outside & lanes_of(nothing != nothing);
      for (int lane = 0; lane < kLanes; ++lane) {
        if (wrong >> lane & 1u) value[lane] = sample_by_rule(chunk, plane, start + lane);
      }
    } else if (sizeof(Source) > 1) {
      poison += nothing;
    }
    value = multiply_add(scale, value, bias != nullptr ? load(bias + start) : offset);
    if (start + kLanes <= count) {
      store(result + start, value);
    } else {
      store_first(result + start, value, count - start);
    }
  }
  return lanes_of(poison != poison) != 0;
}

/// Sample every channel, one after another.
template <Layout kLayout, typename Source, typename Result, typename WeightsAt>
void sample_planar(const SampleChunk& chunk, const Places& places, const WeightsAt& weights) {
  Result results[kRoom];
  float biases[kRoom];
  const bool direct = chunk.out_stride == 1;
  for (std::int64_t channel = 0; channel < chunk.channels; ++channel) {
    const auto* plane = static_cast<const Source*>(chunk.src) + channel * chunk.channel_stride;
    auto* out = static_cast<Result*>(chunk.out) + channel * chunk.out_channel_stride;
    const float* bias = nullptr;
    if (chunk.addend != nullptr) {
      const float* addend = chunk.addend + channel * chunk.addend_channel_stride;
      for (int at = 0; at < chunk.count; ++at) biases[at] = addend[at * chunk.addend_stride];
      bias = biases;
    }
    Result* result = direct ? out : results;
    if (sample_channel<kLayout, false>(chunk, places, weights, plane, bias, result)) {
      sample_channel<kLayout, true>(chunk, places, weights, plane, bias, result);
    }
    if (!direct) {
      for (int at = 0; at < chunk.count; ++at) out[at * chunk.out_stride] = results[at];
    }
  }
}

/// Vectors along the channels, which are neighbours in the source and in the result. Answers and
/// `kCareful` as above.
template <bool kCareful, typename Source, typename Result>
__attribute__((noinline)) bool sample_channels_last(const SampleChunk& given, const Places& places,
                                                    const WeightRows& weights) {
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
    const Source* top = src + places.top[index];
    const Source* bottom = chunk.wraps ? src + places.bottom[index] : top + steps.down;
    auto* out = static_cast<Result*>(chunk.out) + index * chunk.out_stride;
    const Weights shares{splat(weights.top_left[index]), splat(weights.top_right[index]),
                         splat(weights.bottom_left[index]), splat(weights.bottom_right[index])};
    if constexpr (kCareful) poison = F32s{};
    for (std::int64_t channel = 0; channel < whole; channel += kLanes) {
      const Pairs rows[2] = {{load(top + channel), load(top + steps.right + channel)},
                             {load(bottom + channel), load(bottom + steps.right + channel)}};
      const F32s value = weighted(rows, shares);
      if (sizeof(Source) > 1) poison += value * 0.0f;
      store(out + channel, multiply_add(scale, value, offset));
    }
    if (left > 0) {
      const Pairs rows[2] = {
          {load_first(top + whole, left), load_first(top + steps.right + whole, left)},
          {load_first(bottom + whole, left), load_first(bottom + steps.right + whole, left)}};
      const F32s value = weighted(rows, shares);
      if (sizeof(Source) > 1) poison += value * 0.0f;
      store_first(out + whole, multiply_add(scale, value, offset), left);
    }
    if constexpr (kCareful) {
      const bool outside = places.outside[index / kLanes] >> index % kLanes & 1u;
      if (!outside || lanes_of(poison != poison) == 0) continue;
      for (std::int64_t channel = 0; channel < channels; ++channel) {
        const float value = sample_by_rule(given, src + channel, index);
        out[channel] = from_float<Result>(multiply_add(chunk.scale, value, chunk.offset));
      }
    }
  }
  return lanes_of(poison != poison) != 0;
}

template <typename Source, typename Result, typename WeightsAt>
void sample_planar_as_laid_out(const SampleChunk& chunk, const Places& places,
                               const WeightsAt& weights) {
  if (chunk.column_stride != 1 || chunk.width == 1) {
    sample_planar<Layout::kApart, Source, Result>(chunk, places, weights);
  } else if (chunk.wraps) {
    sample_planar<Layout::kWrapping, Source, Result>(chunk, places, weights);
  } else {
    sample_planar<Layout::kAdjacent, Source, Result>(chunk, places, weights);
  }
}

template <typename Source, typename Result>
void sample_any(const SampleChunk& chunk) {
  Places places;
  WeightRows weights;
  const bool channels_last = chunk.channels > 1 && chunk.channel_stride == 1 &&
                             chunk.out_channel_stride == 1 && chunk.addend == nullptr;
  if (channels_last) {
    find_places<true>(chunk, places, &weights);
    if (sample_channels_last<false, Source, Result>(chunk, places, weights)) {
      sample_channels_last<true, Source, Result>(chunk, places, weights);
    }
  } else if (chunk.channels > kFewChannels) {
    find_places<true>(chunk, places, &weights);
    sample_planar_as_laid_out<Source, Result>(chunk, places, WrittenWeights{weights});
  } else {
    find_places<false>(chunk, places, nullptr);
    sample_planar_as_laid_out<Source, Result>(chunk, places, ComputedWeights{chunk});
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

void sample(const SampleChunk& chunk) noexcept {
  with_float_storage(chunk.out_dtype, [&](auto result) {
    using Result = typename decltype(result)::type;
    if (chunk.height == 0 || chunk.width == 0) return sample_nothing<Result>(chunk);
    with_storage(chunk.src_dtype,
                 [&](auto source) { sample_any<typename decltype(source)::type, Result>(chunk); });
  });
}

}  // namespace cineflow::CINEFLOW_ISA
