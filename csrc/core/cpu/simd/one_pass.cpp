// Samples of few channels, found and read in one pass.
//
// Where there is little to do at a place, writing it down costs as much as reading its pixels.
#include "cpu/simd/isa.h"
#include "cpu/simd/places.h"
#include "math/dispatch.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

/// Sample `kChannels` channels; `kAdded`: onto chunk.addend. Answers whether all were finite.
template <int kChannels, bool kAdded, typename Source, typename Result>
__attribute__((noinline)) bool sample_grid(const SampleChunk& given,
                                           const Coordinates& coordinates) {
  const SampleChunk chunk = given;  // copies, which no store changes for all the compiler knows
  const float* const xs = coordinates.x;
  const float* const ys = coordinates.y;
  const auto* const src = static_cast<const Source*>(chunk.src);
  auto* const out = static_cast<Result*>(chunk.out);
  const F32s scale = splat(chunk.scale);
  const F32s offset = splat(chunk.offset);
  OwnPixels own(coordinates);
  F32s poison{};

  // Offsets go through memory, because pixels are loaded one by one. They are found two vectors
  // before they are read: by then they have got there.
  constexpr int kSlots = 4;
  alignas(64) std::int32_t tops[kSlots][kLanes];
  const auto find = [&](int start, F32s x, F32s y) __attribute__((always_inline)) {
    own.displace(x, y);
    const Place place = place_of<true>(chunk, x, y);
    std::int32_t* top = tops[start / kLanes % kSlots];
    if (__builtin_expect(place.outside == 0, 1)) {
      store(top, place.top);
      return weights_inside(place.x, place.y);
    }
    const Corners at = corners_anywhere<true>(chunk, x, y);
    store(top, at.top);
    return at.weights;
  };
  const auto find_whole = [&](int start) __attribute__((always_inline)) {
    return find(start, load(xs + start), load(ys + start));
  };
  const auto value_of = [&](int channel, int start,
                            const Weights& weights) __attribute__((always_inline)) {
    const Source* plane = src + channel * chunk.channel_stride;
    Pairs rows[2];
    load_pairs({plane, plane + chunk.row_stride}, tops[start / kLanes % kSlots], rows);
    const F32s value = weighted(rows, weights);
    if (sizeof(Source) > 1) poison = poisoned(poison, value);
    return value;
  };
  const auto addend_at = [&](int channel, int start) __attribute__((always_inline)) {
    return chunk.addend + channel * chunk.addend_channel_stride + start;
  };
  const auto sample_whole = [&](int start, const Weights& weights) __attribute__((always_inline)) {
#pragma GCC unroll 2
    for (int channel = 0; channel < kChannels; ++channel) {
      const F32s value = value_of(channel, start, weights);
      const F32s added = kAdded ? load(addend_at(channel, start)) : offset;
      store(out + channel * chunk.out_channel_stride + start, multiply_add(scale, value, added));
    }
  };

  const int whole = chunk.count / kLanes * kLanes;
  if (whole > 0) {
    Weights now = find_whole(0);
    Weights next = whole > kLanes ? find_whole(kLanes) : now;
    int start = 0;
    for (; start + 2 * kLanes < whole; start += kLanes) {
      const Weights weights = now;
      now = next;
      next = find_whole(start + 2 * kLanes);
      sample_whole(start, weights);
    }
    for (; start < whole; start += kLanes) {
      sample_whole(start, now);
      now = next;
    }
  }
  if (const int left = chunk.count - whole; left > 0) {
    const Weights weights = find(whole, load_first(xs + whole, left), load_first(ys + whole, left));
    for (int channel = 0; channel < kChannels; ++channel) {
      const F32s value = value_of(channel, whole, weights);
      const F32s added = kAdded ? load_first(addend_at(channel, whole), left) : offset;
      store_first(out + channel * chunk.out_channel_stride + whole,
                  multiply_add(scale, value, added), left);
    }
  }
  return lanes_of(poison != poison) == 0;
}

}  // namespace

bool sample_in_one_pass(const SampleChunk& chunk, const Coordinates& coordinates) noexcept {
  const bool few = chunk.channels == 1 || chunk.channels == 2;  // and not none
  const bool fits = coordinates.width > 0 && few && !chunk.wraps && chunk.height > 1 &&
                    chunk.width > 1 && chunk.column_stride == 1 && chunk.out_stride == 1;
  if (!fits) return false;
  if (chunk.addend != nullptr) {  // a composition of flows
    return chunk.channels == 2 && chunk.addend_stride == 1 && chunk.src_dtype == DType::kF32 &&
           chunk.out_dtype == DType::kF32 && sample_grid<2, true, float, float>(chunk, coordinates);
  }
  bool done = false;
  with_float_storage(chunk.out_dtype, [&](auto result) {
    using Result = typename decltype(result)::type;
    with_storage(chunk.src_dtype, [&](auto source) {
      using Source = typename decltype(source)::type;
      done = chunk.channels == 1 ? sample_grid<1, false, Source, Result>(chunk, coordinates)
                                 : sample_grid<2, false, Source, Result>(chunk, coordinates);
    });
  });
  return done;
}

}  // namespace cineflow::CINEFLOW_ISA
