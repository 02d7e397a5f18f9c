// Windows of bilinear samples, one pixel apart: all samples of a window have the same weights.
//
// The lanes of a vector are adjacent pixels, as in the output, so each has its own window. A row
// of kLanes windows is read four columns at a time and transposed. Each sample of the row is
// interpolated along x once and serves the samples above and below it.
#include <algorithm>
#include <type_traits>

#include "cineflow/correlation_pyramid.h"
#include "cpu/simd/kernels.h"
#include "cpu/simd/vec.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

constexpr int kMostColumns = 2 * kMaxLookupRadius + 2;  // of a window, with the last neighbours
static_assert(kLookupPixels % kLanes == 0);

CINEFLOW_HD F32s masked(F32s values, I32s mask) { return (F32s)((I32s)values & mask); }

/// Four adjacent pixels of `rows` i, i + 4, i + 8, ... from element `offset` on, one after another.
CINEFLOW_HD F32s load_fours(const float* const* rows, std::int64_t offset) {
#if defined(__AVX512F__)
  F32s fours = _mm512_castps128_ps512(_mm_loadu_ps(rows[0] + offset));
  fours = _mm512_insertf32x4(fours, _mm_loadu_ps(rows[4] + offset), 1);
  fours = _mm512_insertf32x4(fours, _mm_loadu_ps(rows[8] + offset), 2);
  return _mm512_insertf32x4(fours, _mm_loadu_ps(rows[12] + offset), 3);
#elif defined(__AVX2__)
  const __m256 low = _mm256_castps128_ps256(_mm_loadu_ps(rows[0] + offset));
  return _mm256_insertf128_ps(low, _mm_loadu_ps(rows[4] + offset), 1);
#else
  return load(rows[0] + offset);
#endif
}

/// The same for types of 16 bits.
template <typename Source>
CINEFLOW_HD F32s load_fours(const Source* const* rows, std::int64_t offset) {
  using Fours = std::uint64_t __attribute__((vector_size(2 * kLanes)));
  Fours fours;
  for (int group = 0; group < kLanes / 4; ++group) {
    fours[group] = load_bits<std::uint64_t>(rows[4 * group] + offset);
  }
  if constexpr (std::is_same_v<Source, Half>) {
    return half_to_floats((U16s)fours);
  } else {
    return bfloat16_to_floats((U16s)fours);
  }
}

// Of each four lanes of two vectors: the lower or upper two, interleaved, or one after another.
#if defined(__AVX512F__)
CINEFLOW_HD F32s mix_low(F32s a, F32s b) { return _mm512_unpacklo_ps(a, b); }
CINEFLOW_HD F32s mix_high(F32s a, F32s b) { return _mm512_unpackhi_ps(a, b); }
CINEFLOW_HD F32s join_low(F32s a, F32s b) { return _mm512_shuffle_ps(a, b, 0x44); }
CINEFLOW_HD F32s join_high(F32s a, F32s b) { return _mm512_shuffle_ps(a, b, 0xee); }
#elif defined(__AVX2__)
CINEFLOW_HD F32s mix_low(F32s a, F32s b) { return _mm256_unpacklo_ps(a, b); }
CINEFLOW_HD F32s mix_high(F32s a, F32s b) { return _mm256_unpackhi_ps(a, b); }
CINEFLOW_HD F32s join_low(F32s a, F32s b) { return _mm256_shuffle_ps(a, b, 0x44); }
CINEFLOW_HD F32s join_high(F32s a, F32s b) { return _mm256_shuffle_ps(a, b, 0xee); }
#else
CINEFLOW_HD F32s mix_low(F32s a, F32s b) { return F32s{a[0], b[0], a[1], b[1]}; }
CINEFLOW_HD F32s mix_high(F32s a, F32s b) { return F32s{a[2], b[2], a[3], b[3]}; }
CINEFLOW_HD F32s join_low(F32s a, F32s b) { return F32s{a[0], a[1], b[0], b[1]}; }
CINEFLOW_HD F32s join_high(F32s a, F32s b) { return F32s{a[2], a[3], b[2], b[3]}; }
#endif

/// What is prefetched for the next windows: `steps` times two cache lines of each, and the lines
/// that their samples are written to.
struct Ahead {
  const char* first[kLanes];
  std::int64_t step, second;  // bytes
  int steps = 0;
  std::int64_t out = 0;  // floats from a sample of these windows to the same one of the next
};

CINEFLOW_HD void plan_ahead(const LookupRun& run, int pixel, Ahead* ahead) {
  constexpr std::int64_t kLine = 64;
  const std::int64_t side = 2 * std::int64_t{run.radius} + 2;
  const std::int64_t bytes = item_size(run.dtype);
  const bool near = run.pitch * bytes <= 2 * kLine;  // rows that are read without gaps
  ahead->step = near ? 2 * kLine : run.pitch * bytes;
  ahead->second = near ? kLine : (side - 1) * bytes;
  const std::int64_t rows = std::min(side, run.height);
  ahead->steps =
      static_cast<int>(near ? (rows * run.pitch * bytes + 3 * kLine - 1) / (2 * kLine) : rows);
  for (int lane = 0; lane < kLanes; ++lane) {
    const int at = pixel + lane;
    const std::int64_t y =
        std::max<std::int64_t>(0, std::min<std::int64_t>(run.y[at], run.height - rows));
    const std::int64_t offset = y * run.pitch + run.x[at] - run.origin[at];
    ahead->first[lane] = static_cast<const char*>(run.maps[at]) + offset * bytes;
  }
}

/// What a window needs beyond its samples' weights.
enum class Borders {
  kNone,    // it is inside its map
  kMasked,  // pixels outside are 0
  kExact,   // also, a neighbour of weight 0 is not read at the border, where it may be infinite
};

/// The windows of kLanes adjacent pixels.
template <typename Source>
class Windows {
 public:
  Windows(const LookupRun& run, int pixel) : run_(run), pixel_(pixel) {
    const std::int64_t columns = 2 * std::int64_t{run.radius} + 2;
    // The last columns are read as four, which may begin before the first one.
    const std::int64_t early = std::max<std::int64_t>(0, 4 - columns);
    const std::int64_t rows_end = (columns - 1) * run.pitch + columns;
    bool inside = true;
    bool exact = false;
    for (int lane = 0; lane < kLanes; ++lane) {
      const int at = pixel + lane;
      const std::int64_t x = run.x[at];
      const std::int64_t y = run.y[at];
      const std::int64_t offset = y * run.pitch + x - run.origin[at];
      first_[lane] = static_cast<const Source*>(run.maps[at]) + offset;
      inside &= x >= 0 && x + columns <= run.width && y >= 0 && y + columns <= run.height;
      exact |= (x < 0 && run.x_fraction[at] == 0.0f) || (y < 0 && run.y_fraction[at] == 0.0f);
      const bool safe = offset - early >= -run.before[at] && offset + rows_end <= run.after[at];
      copied_ |= safe ? 0u : 1u << lane;
    }
    borders_ = exact ? Borders::kExact : inside && copied_ == 0 ? Borders::kNone : Borders::kMasked;
  }

  void sample(const Ahead& ahead) {
    switch (borders_) {
      case Borders::kNone:
        return all_rows<Borders::kNone>(ahead);
      case Borders::kMasked:
        return all_rows<Borders::kMasked>(ahead);
      case Borders::kExact:
        return all_rows<Borders::kExact>(ahead);
    }
  }

 private:
  template <Borders kBorders>
  void all_rows(const Ahead& ahead) {
    if constexpr (kBorders != Borders::kNone) find_columns();
    const int side = 2 * run_.radius + 1;
    row<kBorders, true>(0, ahead);
    for (int number = 1; number <= side; ++number) row<kBorders, false>(number, ahead);
  }

  /// Which columns are inside, as a left and as a right neighbour of a sample. A whole sample at -1
  /// does not read column 0.
  void find_columns() {
    const I32s x = load_bits<I32s>(run_.x + pixel_);
    const auto width = static_cast<std::int32_t>(run_.width);
    const I32s whole = load(run_.x_fraction + pixel_) == 0.0f;
    for (int column = 0; column < 2 * run_.radius + 2; ++column) {
      const I32s at = x + column;
      left_[column] = (at >= 0) & (at < width);
      right_[column] = left_[column] & ~((at == 0) & whole);
    }
  }

  /// Row `number` of the windows. It is below the samples of row number - 1.
  template <Borders kBorders, bool kFirst>
  CINEFLOW_HD void row(int number, const Ahead& ahead) {
    prefetch(number, ahead);
    const int columns = 2 * run_.radius + 2;
    const F32s right_weight = load(run_.x_fraction + pixel_);
    const F32s left_weight = 1.0f - right_weight;
    const F32s low_weight = load(run_.y_fraction + pixel_);
    const F32s high_weight = 1.0f - low_weight;
    I32s inside = {};
    I32s low_inside = {};
    if constexpr (kBorders != Borders::kNone) {
      const I32s y = load_bits<I32s>(run_.y + pixel_) + number;
      inside = (y >= 0) & (y < static_cast<std::int32_t>(run_.height));
      // As for columns.
      if (kBorders == Borders::kExact) low_inside = ~((y == 0) & (low_weight == 0.0f));
    }
    const std::int64_t step = (2 * run_.radius + 1) * run_.out_stride;
    float* out = run_.out + (number - 1) * run_.out_stride + pixel_;
    F32s* above = above_;
    const auto finish = [&](F32s value) __attribute__((always_inline)) {
      if constexpr (!kFirst) {
        const F32s low = kBorders == Borders::kExact ? masked(value, low_inside) : value;
        // A store to a line that is not in the L1 cache would hold up all stores behind it.
        __builtin_prefetch(out + ahead.out, 1);
        store(out, multiply_add(low, low_weight, *above * high_weight));
        out += step;
      }
      *above++ = value;
    };
    if (kBorders != Borders::kNone && lanes_of(inside) == 0) {
      for (int sample = 0; sample < columns - 1; ++sample) finish(F32s{});
      return;
    }
    const Source* rows[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) rows[lane] = first_[lane] + number * run_.pitch;
    if (kBorders != Borders::kNone && copied_ != 0) copy_rows(number, rows);
    F32s before = {};  // the column before, as a left neighbour
    const auto add = [&](int column, F32s value) __attribute__((always_inline)) {
      const F32s left = kBorders == Borders::kNone ? value : masked(value, left_[column]);
      if (column > 0) {
        const F32s right = kBorders == Borders::kExact ? masked(value, right_[column]) : left;
        const F32s sample = multiply_add(right, right_weight, before * left_weight);
        finish(kBorders == Borders::kNone ? sample : masked(sample, inside));
      }
      before = left;
    };
    int column = 0;
    for (; column + 4 <= columns; column += 4) {
      const F32s fours[4] = {load_fours(rows, column), load_fours(rows + 1, column),
                             load_fours(rows + 2, column), load_fours(rows + 3, column)};
      const F32s low[2] = {mix_low(fours[0], fours[1]), mix_low(fours[2], fours[3])};
      const F32s high[2] = {mix_high(fours[0], fours[1]), mix_high(fours[2], fours[3])};
      add(column, join_low(low[0], low[1]));
      add(column + 1, join_high(low[0], low[1]));
      add(column + 2, join_low(high[0], high[1]));
      add(column + 3, join_high(high[0], high[1]));
    }
    if (column < columns) {  // two are left
      const int from = columns - 4;
      const F32s high[2] = {mix_high(load_fours(rows, from), load_fours(rows + 1, from)),
                            mix_high(load_fours(rows + 2, from), load_fours(rows + 3, from))};
      add(column, join_low(high[0], high[1]));
      add(column + 1, join_high(high[0], high[1]));
    }
  }

  static CINEFLOW_HD void prefetch(int number, const Ahead& ahead) {
    if (number >= ahead.steps) return;
    const std::int64_t offset = number * ahead.step;
#pragma GCC unroll 16
    for (int lane = 0; lane < kLanes; ++lane) {
      __builtin_prefetch(ahead.first[lane] + offset);
      __builtin_prefetch(ahead.first[lane] + (offset + ahead.second));
    }
  }

  /// Rows of windows that reach beyond the memory of their map.
  [[gnu::noinline]] void copy_rows(int number, const Source** rows) {
    const int columns = 2 * run_.radius + 2;
    for (int lane = 0; lane < kLanes; ++lane) {
      if ((copied_ >> lane & 1u) == 0) continue;
      const std::int64_t y = std::int64_t{run_.y[pixel_ + lane]} + number;
      Source* copy = copies_[lane] + 2;
      copy[-2] = copy[-1] = Source{};
      for (int column = 0; column < columns; ++column) {
        const std::int64_t x = std::int64_t{run_.x[pixel_ + lane]} + column;
        const bool inside = x >= 0 && x < run_.width && y >= 0 && y < run_.height;
        copy[column] = inside ? rows[lane][column] : Source{};
      }
      rows[lane] = copy;
    }
  }

  const LookupRun& run_;
  const int pixel_;
  Borders borders_;
  unsigned copied_ = 0;          // lanes whose rows are copied
  const Source* first_[kLanes];  // pixel (0, 0) of each window
  F32s above_[kMostColumns];     // the samples of the row above, interpolated along x
  I32s left_[kMostColumns], right_[kMostColumns];
  Source copies_[kLanes][kMostColumns + 2];
};

template <typename Source>
void windows_of(const LookupRun& run) {
  for (int pixel = 0; pixel < run.count; pixel += kLanes) {
    Ahead ahead;
    if (kLanes < kLookupPixels && pixel + kLanes < run.count) {
      plan_ahead(run, pixel + kLanes, &ahead);
      ahead.out = 2 * kLanes - 1;  // of the next vector, the end: it may be in another line
    } else if (run.next != nullptr) {
      plan_ahead(*run.next, 0, &ahead);
      if (run.next->out != nullptr) ahead.out = run.next->out - (run.out + pixel);
    }
    Windows<Source>(run, pixel).sample(ahead);
  }
}

}  // namespace

void look_up(const LookupRun& run) noexcept {
  switch (run.dtype) {
    case DType::kF16:
      return windows_of<Half>(run);
    case DType::kBF16:
      return windows_of<BFloat16>(run);
    default:
      return windows_of<float>(run);
  }
}

}  // namespace cineflow::CINEFLOW_ISA
