// Samples a run of a volume: locates the samples once, then reads every channel.
//
// The weights of a sample are kept by axis, six numbers, and not by corner, eight products: a sum
// along x, then y, then z takes them as they are. Every path to a pixel sums in this order, so that
// the bits of a result depend on the pixel alone.
//
// A neighbour outside is moved to the nearest pixel inside and gets weight 0 (corners.h). Where a
// result is infinite or NaN the channel is sampled a second time, and such samples with a neighbour
// outside follow math/bilinear.h, which does not read that neighbour.
#include "cpu/simd/corners.h"
#include "cpu/simd/kernels.h"
#include "cpu/simd/pixel_cursor.h"
#include "cpu/simd/vec.h"
#include "math/bilinear.h"
#include "math/dispatch.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

/// Entries of a scratch array: kernels write whole vectors, which may end after the last sample.
constexpr int kScratch = kMaxVolumeRun + 16;

/// Weights of the neighbours of kLanes samples, by axis.
struct AxisWeights {
  F32s left, right, top, bottom, front, back;
};

/// The located samples of a run.
struct alignas(64) LocatedRun {
  std::int32_t offset[kScratch];  // of the first of the eight neighbours, in elements
  float left[kScratch];           // weights
  float right[kScratch];
  float top[kScratch];
  float bottom[kScratch];
  float front[kScratch];
  float back[kScratch];
  Lanes outside[kScratch / kLanes];  // of each vector, the samples with a neighbour outside

  CINEFLOW_HD AxisWeights weights_at(int start) const {
    return {load(left + start),   load(right + start), load(top + start),
            load(bottom + start), load(front + start), load(back + start)};
  }

  CINEFLOW_HD void put(int start, Lanes lanes_outside, I32s offsets, const AxisWeights& weights) {
    outside[start / kLanes] = lanes_outside;
    store(offset + start, offsets);
    store(left + start, weights.left);
    store(right + start, weights.right);
    store(top + start, weights.top);
    store(bottom + start, weights.bottom);
    store(front + start, weights.front);
    store(back + start, weights.back);
  }
};

/// `kDenseColumns`: neighbouring columns are adjacent in memory.
template <bool kDenseColumns>
__attribute__((noinline)) void locate_run(const VolumeRun& given, const VolumePositions& positions,
                                          LocatedRun& located) {
  const VolumeRun run = given;  // a copy: the compiler then knows that no store changes it
  const auto slice_stride = static_cast<std::int32_t>(run.slice_stride);
  const auto row_stride = static_cast<std::int32_t>(run.row_stride);
  const auto column_stride = static_cast<std::int32_t>(run.column_stride);
  const F32s slice = splat(positions.slice);
  const bool on_grid = positions.width > 0;
  PixelCursor cursor({positions.x, positions.y, positions.width, positions.column, positions.row});
  const auto offset_of = [&](I32s across, I32s down, I32s in) __attribute__((always_inline)) {
    return in * slice_stride + down * row_stride +
           (kDenseColumns ? across : across * column_stride);
  };
  const auto locate_at = [&](int start, F32s x, F32s y, F32s z) __attribute__((always_inline)) {
    if (on_grid) {
      cursor.add_pixels(x, y);
      z += slice;
    }
    const Lanes inside = lanes_below(x, splat(static_cast<float>(run.width - 1))) &
                         lanes_below(y, splat(static_cast<float>(run.height - 1))) &
                         lanes_below(z, splat(static_cast<float>(run.depth - 1)));
    if (inside == kAllLanes) {
      const I32s across = Vectors::truncate(x);
      const I32s down = Vectors::truncate(y);
      const I32s in = Vectors::truncate(z);
      const F32s right = x - Vectors::real(across);
      const F32s bottom = y - Vectors::real(down);
      const F32s back = z - Vectors::real(in);
      located.put(start, 0, offset_of(across, down, in),
                  {1.0f - right, right, 1.0f - bottom, bottom, 1.0f - back, back});
      return;
    }
    const AxisTaps across = taps_at(x, run.width, run.border);
    const AxisTaps down = taps_at(y, run.height, run.border);
    const AxisTaps in = taps_at(z, run.depth, run.border);
    located.put(start, ~inside & kAllLanes, offset_of(across.low, down.low, in.low),
                {across.low_weight, across.high_weight, down.low_weight, down.high_weight,
                 in.low_weight, in.high_weight});
  };
  int start = 0;
  for (; start + kLanes <= run.count; start += kLanes) {
    locate_at(start, load(positions.x + start), load(positions.y + start),
              load(positions.z + start));
  }
  if (const int left = run.count - start; left > 0) {
    locate_at(start, load_first(positions.x + start, left), load_first(positions.y + start, left),
              load_first(positions.z + start, left));
  }
}

/// Distance from a pixel to its neighbours, in elements; 0 on an axis of one pixel.
struct VolumeSteps {
  explicit VolumeSteps(const VolumeRun& run)
      : right(run.width > 1 ? run.column_stride : 0),
        down(run.height > 1 ? run.row_stride : 0),
        back(run.depth > 1 ? run.slice_stride : 0) {}
  std::int64_t right, down, back;
};

CINEFLOW_HD F32s along(F32s low, F32s low_weight, F32s high, F32s high_weight) {
  return multiply_add(high, high_weight, low * low_weight);
}

/// The sum of the four neighbours of one slice. `rows` holds the upper and the lower row.
CINEFLOW_HD F32s slice_sum(const PixelPairs (&rows)[2], const AxisWeights& weights) {
  return along(along(rows[0].left, weights.left, rows[0].right, weights.right), weights.top,
               along(rows[1].left, weights.left, rows[1].right, weights.right), weights.bottom);
}

/// The sum of the two neighbours along an axis, without those outside: the bits of `along`.
/// `value_at` gives the value of a neighbour that is inside.
template <typename ValueAt>
CINEFLOW_HD float along(const Tap& tap, const ValueAt& value_at) {
  float sum = tap.low_inside ? value_at(tap.low) * tap.low_weight : 0.0f;
  if (tap.high_inside) sum = multiply_add(value_at(tap.low + 1), tap.high_weight, sum);
  return sum;
}

/// One sample with a neighbour outside, by the rule of math/bilinear.h.
template <typename Source>
float sample_by_rule(const VolumeRun& run, const VolumePositions& positions, const Source* volume,
                     int index) {
  float x = positions.x[index];
  float y = positions.y[index];
  float z = positions.z[index];
  if (positions.width > 0) {
    x += positions.column + static_cast<float>(index % positions.width);
    y += positions.row + static_cast<float>(index / positions.width);
    z += positions.slice;
  }
  const Tap columns = tap_at(x, run.width, run.border);
  const Tap rows = tap_at(y, run.height, run.border);
  return along(tap_at(z, run.depth, run.border), [&](std::int32_t slice) {
    return along(rows, [&](std::int32_t row) {
      return along(columns, [&](std::int32_t column) {
        return to_float(
            volume[slice * run.slice_stride + row * run.row_stride + column * run.column_stride]);
      });
    });
  });
}

/// Samples one channel into contiguous memory and returns whether a sample was infinite or NaN.
/// With `kCareful`, such samples with a neighbour outside follow sample_by_rule. `kAdjacent`:
/// neighbouring columns are adjacent in memory. `next` is the channel to prefetch, or null.
/// `addend` is contiguous, or null for 0.
template <bool kAdjacent, bool kCareful, typename Source>
__attribute__((noinline)) bool sample_channel(const VolumeRun& run,
                                              const VolumePositions& positions,
                                              const LocatedRun& located, const Source* volume,
                                              const Source* next, const float* addend,
                                              float* result) {
  const VolumeSteps steps(run);
  const int count = run.count;
  F32s non_finite{};
  const auto slice_at = [&](const Source* slice, int start,
                            const AxisWeights& weights) __attribute__((always_inline)) {
    PixelPairs rows[2];
    const std::int32_t* offsets = located.offset + start;
    if constexpr (kAdjacent) {
      load_pairs({slice, slice + steps.down}, offsets, rows);
    } else {
      rows[0] = load_strided_pairs(slice, offsets, steps.right);
      rows[1] = load_strided_pairs(slice + steps.down, offsets, steps.right);
    }
    return slice_sum(rows, weights);
  };
  // `own`: the lanes that hold a sample; those behind the last one have no position to read.
  const auto value_at = [&](int start, Lanes own) __attribute__((always_inline)) {
    const AxisWeights weights = located.weights_at(start);
    const F32s front = slice_at(volume, start, weights);
    const F32s back = slice_at(volume + steps.back, start, weights);
    F32s value = along(front, weights.front, back, weights.back);
    if constexpr (kCareful) {
      const F32s marks = mark_non_finite(F32s{}, value);
      const Lanes again = own & located.outside[start / kLanes] & lanes_of(marks != marks);
      for (int lane = 0; lane < kLanes; ++lane) {
        if (again >> lane & 1u) value[lane] = sample_by_rule(run, positions, volume, start + lane);
      }
    } else if (sizeof(Source) > 1) {
      non_finite = mark_non_finite(non_finite, value);
    }
    return value;
  };
  int start = 0;
  for (; start + kLanes <= count; start += kLanes) {
    if (next != nullptr) {  // the vector's first and last lines in both slices
      const std::int32_t* offsets = located.offset + start;
      __builtin_prefetch(next + offsets[0]);
      __builtin_prefetch(next + offsets[kLanes - 1]);
      __builtin_prefetch(next + steps.back + offsets[0]);
      __builtin_prefetch(next + steps.back + offsets[kLanes - 1]);
    }
    const F32s value = value_at(start, kAllLanes);
    store(result + start, addend == nullptr ? value : value + load(addend + start));
  }
  if (const int left = count - start; left > 0) {
    const F32s value = value_at(start, first_lanes(left));
    store_first(result + start,
                addend == nullptr ? value : value + load_first(addend + start, left), left);
  }
  return lanes_of(non_finite != non_finite) != 0;
}

/// Whether samples are results as they are.
bool is_plain(const VolumeRun& run) { return run.scale == 1.0f && run.bias == 0.0f; }

/// Writes the samples of one channel to the output. Scales them in place unless they are plain.
template <typename Result>
void write_results(const VolumeRun& run, float* results, Result* out) {
  const int count = run.count;
  if (!is_plain(run)) {
    for (int start = 0; start < count; start += kLanes) {
      const F32s value = load(results + start);
      store(results + start, multiply_add(splat(run.scale), value, splat(run.bias)));
    }
  }
  if (run.out_stride != 1) {
    for (int at = 0; at < count; ++at) out[at * run.out_stride] = from_float<Result>(results[at]);
    return;
  }
  int start = 0;
  for (; start + kLanes <= count; start += kLanes) store(out + start, load(results + start));
  if (start < count) store_first(out + start, load(results + start), count - start);
}

/// Volumes larger than this, in bytes, are not in the L2 cache when they are sampled.
constexpr std::int64_t kLargeVolume = std::int64_t{2} << 20;

/// Samples every channel, one after another. In a large volume the next one is prefetched: a run
/// reads too few lines of a channel for the processor to predict them.
template <bool kAdjacent, typename Source>
void sample_planar(const VolumeRun& run, const VolumePositions& positions,
                   const LocatedRun& located) {
  float results[kScratch];
  float addends[kScratch];
  const bool direct = run.out_stride == 1 && run.out_dtype == DType::kF32 && is_plain(run);
  const bool large =
      run.channels * run.channel_stride > kLargeVolume / std::int64_t{sizeof(Source)};
  for (std::int64_t channel = 0; channel < run.channels; ++channel) {
    const auto* volume = static_cast<const Source*>(run.src) + channel * run.channel_stride;
    const std::int64_t to = channel * run.out_channel_stride;
    const float* addend = nullptr;
    if (run.addend != nullptr) {
      addend = run.addend + channel * run.addend_channel_stride;
      if (run.addend_stride != 1) {
        for (int at = 0; at < run.count; ++at) addends[at] = addend[at * run.addend_stride];
        addend = addends;
      }
    }
    float* result = direct ? static_cast<float*>(run.out) + to : results;
    const Source* next =
        large && channel + 1 < run.channels ? volume + run.channel_stride : nullptr;
    if (sample_channel<kAdjacent, false>(run, positions, located, volume, next, addend, result)) {
      next = nullptr;
      sample_channel<kAdjacent, true>(run, positions, located, volume, next, addend, result);
    }
    if (direct) continue;
    with_storage(run.out_dtype, [&](auto tag) {
      using Result = typename decltype(tag)::type;
      write_results(run, results, static_cast<Result*>(run.out) + to);
    });
  }
}

/// Samples with vectors along the channels, which are adjacent in the source and in the result.
/// Returns, and takes `kCareful`, as sample_channel does.
template <bool kCareful, typename Source, typename Result>
__attribute__((noinline)) bool sample_channels_last(const VolumeRun& given,
                                                    const VolumePositions& positions,
                                                    const LocatedRun& located) {
  const VolumeRun run = given;  // a copy: the compiler then knows that no store changes it
  const auto* src = static_cast<const Source*>(run.src);
  const VolumeSteps steps(run);
  const std::int64_t channels = run.channels;
  const std::int64_t whole = channels - channels % kLanes;
  const auto left = static_cast<int>(channels % kLanes);
  F32s non_finite{};
  for (int index = 0; index < run.count; ++index) {
    const Source* first = src + located.offset[index];
    auto* out = static_cast<Result*>(run.out) + index * run.out_stride;
    const AxisWeights weights{splat(located.left[index]),  splat(located.right[index]),
                              splat(located.top[index]),   splat(located.bottom[index]),
                              splat(located.front[index]), splat(located.back[index])};
    if constexpr (kCareful) non_finite = F32s{};
    const auto value_at = [&](const auto& load_channels) __attribute__((always_inline)) {
      const auto slice_at = [&](const Source* upper) __attribute__((always_inline)) {
        const Source* lower = upper + steps.down;
        const PixelPairs rows[2] = {{load_channels(upper), load_channels(upper + steps.right)},
                                    {load_channels(lower), load_channels(lower + steps.right)}};
        return slice_sum(rows, weights);
      };
      const F32s value =
          along(slice_at(first), weights.front, slice_at(first + steps.back), weights.back);
      if (sizeof(Source) > 1) non_finite = mark_non_finite(non_finite, value);
      return value;
    };
    for (std::int64_t channel = 0; channel < whole; channel += kLanes) {
      store(out + channel, value_at([channel](const Source* from) __attribute__((always_inline)) {
              return load(from + channel);
            }));
    }
    if (left > 0) {
      const F32s value = value_at([whole, left](const Source* from) __attribute__((always_inline)) {
        return load_first(from + whole, left);
      });
      store_first(out + whole, value, left);
    }
    if constexpr (kCareful) {
      const bool outside = located.outside[index / kLanes] >> index % kLanes & 1u;
      if (!outside || lanes_of(non_finite != non_finite) == 0) continue;
      for (std::int64_t channel = 0; channel < channels; ++channel) {
        out[channel] = from_float<Result>(sample_by_rule(given, positions, src + channel, index));
      }
    }
  }
  return lanes_of(non_finite != non_finite) != 0;
}

template <typename Source>
void sample_typed(const VolumeRun& run, const VolumePositions& positions) {
  LocatedRun located;
  run.column_stride == 1 ? locate_run<true>(run, positions, located)
                         : locate_run<false>(run, positions, located);
  const bool channels_last = run.channels > 1 && run.channel_stride == 1 &&
                             run.out_channel_stride == 1 && run.addend == nullptr &&
                             is_plain(run) && run.out_dtype != DType::kU8;
  if (channels_last) {
    return with_float_storage(run.out_dtype, [&](auto tag) {
      using Result = typename decltype(tag)::type;
      if (sample_channels_last<false, Source, Result>(run, positions, located)) {
        sample_channels_last<true, Source, Result>(run, positions, located);
      }
    });
  }
  if (run.column_stride == 1 && run.width > 1) {
    sample_planar<true, Source>(run, positions, located);
  } else {
    sample_planar<false, Source>(run, positions, located);
  }
}

/// A source without pixels: every sample is 0.
template <typename Result>
void sample_empty(const VolumeRun& run) {
  for (std::int64_t channel = 0; channel < run.channels; ++channel) {
    auto* out = static_cast<Result*>(run.out) + channel * run.out_channel_stride;
    const float* addend = run.addend + channel * run.addend_channel_stride;
    for (int at = 0; at < run.count; ++at) {
      const float sum = run.addend == nullptr ? run.bias : addend[at * run.addend_stride];
      out[at * run.out_stride] = from_float<Result>(sum);
    }
  }
}

}  // namespace

void sample_volume(const VolumeRun& run, const VolumePositions& positions) noexcept {
  if (run.depth == 0 || run.height == 0 || run.width == 0) {
    return with_storage(run.out_dtype,
                        [&](auto tag) { sample_empty<typename decltype(tag)::type>(run); });
  }
  with_storage(run.src_dtype,
               [&](auto tag) { sample_typed<typename decltype(tag)::type>(run, positions); });
}

}  // namespace cineflow::CINEFLOW_ISA
