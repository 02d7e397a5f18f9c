// What the samples of a run read, and how much it counts: found once, for every channel.
#include "cpu/kernels.h"
#include "cpu/simd/corners.h"
#include "cpu/simd/isa.h"
#include "cpu/simd/vec.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

/// The pixels of a grid of which a run's samples are so far away, a vector of them at a time.
class OwnPixels {
 public:
  explicit OwnPixels(const Coordinates& on)
      : width_(static_cast<float>(on.width)),
        end_(on.column + width_),
        columns_(static_cast<float>(kLanes % on.width)),
        rows_(static_cast<float>(kLanes / on.width)) {
    const F32s row = Vectors::real(Vectors::truncate((lane_numbers() + 0.5f) / width_));
    column = on.column + (lane_numbers() - row * width_);
    this->row = on.row + row;
  }

  CINEFLOW_HD void go_on() {
    column += columns_;
    row += rows_;
    const I32s beyond = column >= end_;
    column = beyond ? column - width_ : column;
    row = beyond ? row + 1.0f : row;
  }

  F32s column, row;

 private:
  float width_, end_;
  float columns_, rows_;  // from one vector to the next
};

/// `kSideBySide`: neighbouring columns are neighbours in memory.
template <bool kOnGrid, bool kSideBySide>
void find(const SampleChunk& given, const Coordinates& coordinates, const Places& places) {
  const SampleChunk chunk = given;  // a copy, which no store changes for all the compiler knows
  PlacesTogether* const together = places.together;
  EdgesTogether* const edges = places.edges;
  std::uint32_t* const outside = places.outside;
  const auto row_stride = static_cast<std::int32_t>(chunk.row_stride);
  const auto column_stride = static_cast<std::int32_t>(chunk.column_stride);
  OwnPixels own(kOnGrid ? coordinates : Coordinates{nullptr, nullptr, 1});
  const auto find_at = [&](int start, F32s x, F32s y) __attribute__((always_inline)) {
    if constexpr (kOnGrid) {
      x += own.column;
      y += own.row;
      own.go_on();
    }
    const int index = start / kPlacesTogether;
    const int within = start % kPlacesTogether;
    I32s top;
    const Lanes inside = lanes_inside(chunk, x, y);
    if (inside == kAllLanes) {
      const I32s left = Vectors::truncate(x);
      const I32s above = Vectors::truncate(y);
      top = above * row_stride + (kSideBySide ? left : left * column_stride);
      x -= Vectors::real(left);
      y -= Vectors::real(above);
    } else {
      const Corners at = corners_anywhere(chunk, x, y);
      top = at.top;
      store(edges[index].bottom + within, at.bottom);
      store(edges[index].top_left + within, at.weights.top_left);
      store(edges[index].top_right + within, at.weights.top_right);
      store(edges[index].bottom_left + within, at.weights.bottom_left);
      store(edges[index].bottom_right + within, at.weights.bottom_right);
    }
    store(together[index].top + within, top);
    store(together[index].x + within, x);
    store(together[index].y + within, y);
    outside[index] = (within == 0 ? 0u : outside[index]) | (~inside & kAllLanes) << within;
  };
  int start = 0;
  for (; start + kLanes <= chunk.count; start += kLanes) {
    find_at(start, load(coordinates.x + start), load(coordinates.y + start));
  }
  if (const int left = chunk.count - start; left > 0) {
    find_at(start, load_first(coordinates.x + start, left),
            load_first(coordinates.y + start, left));
  }
}

}  // namespace

void find_places(const SampleChunk& chunk, const Coordinates& coordinates,
                 const Places& places) noexcept {
  const bool side_by_side = chunk.column_stride == 1;
  if (coordinates.width > 0) {
    return side_by_side ? find<true, true>(chunk, coordinates, places)
                        : find<true, false>(chunk, coordinates, places);
  }
  return side_by_side ? find<false, true>(chunk, coordinates, places)
                      : find<false, false>(chunk, coordinates, places);
}

}  // namespace cineflow::CINEFLOW_ISA
