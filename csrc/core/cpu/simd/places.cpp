// What the samples of a run read, and how much it counts: found once, for every channel.
#include "cpu/simd/places.h"

#include "cpu/simd/isa.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

template <bool kOnGrid, bool kSideBySide>
void find(const SampleChunk& given, const Coordinates& coordinates, const Places& places) {
  const SampleChunk chunk = given;  // a copy, which no store changes for all the compiler knows
  PlacesTogether* const together = places.together;
  EdgesTogether* const edges = places.edges;
  std::uint32_t* const outside = places.outside;
  OwnPixels own(kOnGrid ? coordinates : Coordinates{nullptr, nullptr, 1});
  const auto find_at = [&](int start, F32s x, F32s y) __attribute__((always_inline)) {
    if constexpr (kOnGrid) own.displace(x, y);
    const int index = start / kPlacesTogether;
    const int within = start % kPlacesTogether;
    Place place = place_of<kSideBySide>(chunk, x, y);
    if (place.outside != 0) {
      const Corners at = corners_anywhere(chunk, x, y);
      place.top = at.top;
      store(edges[index].bottom + within, at.bottom);
      store(edges[index].top_left + within, at.weights.top_left);
      store(edges[index].top_right + within, at.weights.top_right);
      store(edges[index].bottom_left + within, at.weights.bottom_left);
      store(edges[index].bottom_right + within, at.weights.bottom_right);
    }
    store(together[index].top + within, place.top);
    store(together[index].x + within, place.x);
    store(together[index].y + within, place.y);
    outside[index] = (within == 0 ? 0u : outside[index]) | place.outside << within;
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
