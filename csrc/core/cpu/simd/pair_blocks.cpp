// Rows and blocks of cpu/pair_blocks.cpp.
//
// Sums run down each of 16 columns in f32, and across the columns in f64, in this order on every
// instruction set.
#include "cpu/simd/kernels.h"
#include "cpu/simd/vec.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

constexpr int kSide = 16;
static_assert(kSide % kLanes == 0, "a block is whole vectors");

/// One f32 sum per column of a block.
struct ColumnSums {
  float columns[kSide];

  double total() const {
    double sum = 0.0;
    for (const float column : columns) sum += column;
    return sum;
  }
};

CINEFLOW_HD float sum_of(F32s values) {
  float sum = 0.0f;
  for (int lane = 0; lane < kLanes; ++lane) sum += values[lane];
  return sum;
}

template <typename Grey>
void prepare(const PairRow& row, const Grey* previous) noexcept {
  const F32s one = splat(1.0f);
  F32s sum_a{}, sum_b{};
  for (int x = 0; x < row.count; x += kLanes) {
    const int left = row.count - x;
    const bool whole = left >= kLanes;
    const F32s a = whole ? load(previous + x) : load_first(previous + x, left);
    const F32s b = whole ? load(row.warped + x) : load_first(row.warped + x, left);
    F32s inside;
    if (row.mask == nullptr) {
      inside = ((a > 0.0f) | (b > 0.0f)) ? one : F32s{};
    } else {
      const F32s mask = whole ? load(row.mask + x) : load_first(row.mask + x, left);
      inside = mask > 0.0f ? one : F32s{};
    }
    sum_a += a;
    sum_b += b;
    // Whole vectors: lanes after the row's end are 0, which is what the padding has to be.
    store(row.a + x, a);
    store(row.twice + x, a + b);
    store(row.inside + x, inside);
  }
  row.sums[0] = sum_of(sum_a);
  row.sums[1] = sum_of(sum_b);
}

}  // namespace

void prepare_pair_row(const PairRow& row) noexcept {
  if (row.previous_dtype == DType::kU8) {
    prepare(row, static_cast<const std::uint8_t*>(row.previous));
  } else {
    prepare(row, static_cast<const float*>(row.previous));
  }
}

void sum_pair_block(const PairBlock& block) noexcept {
  const std::int64_t pitch = block.pitch;
  ColumnSums count, total_a, total_b;
  for (int x = 0; x < kSide; x += kLanes) {
    F32s n{}, sum_a{}, sum_b{};
    for (int y = 0; y < block.rows; ++y) {
      const std::int64_t at = y * pitch + x;
      const F32s inside = load(block.inside + at);
      n += inside;
      sum_a = multiply_add(load(block.a + at), inside, sum_a);
      sum_b = multiply_add(load(block.b + at), inside, sum_b);
    }
    store(count.columns + x, n);
    store(total_a.columns + x, sum_a);
    store(total_b.columns + x, sum_b);
  }
  PairBlockSums& sums = *block.sums;
  sums.count = count.total();
  const double least = sums.count > 1.0 ? sums.count : 1.0;
  sums.mean_a = total_a.total() / least;
  sums.mean_b = total_b.total() / least;

  const F32s mean_a = splat(static_cast<float>(sums.mean_a));
  const F32s mean_b = splat(static_cast<float>(sums.mean_b));
  ColumnSums products[6];
  for (int x = 0; x < kSide; x += kLanes) {
    F32s aa{}, bb{}, ab{}, xx{}, xy{}, yy{};
    for (int y = 0; y < block.rows; ++y) {
      const std::int64_t at = y * pitch + x;
      const float* inside = block.inside + at;
      const float* twice = block.twice + at;
      const F32s here = load(inside);
      const F32s a = (load(block.a + at) - mean_a) * here;
      const F32s b = (load(block.b + at) - mean_b) * here;
      aa = multiply_add(a, a, aa);
      bb = multiply_add(b, b, bb);
      ab = multiply_add(a, b, ab);
      // 1/4: 1/2 for the sum of two frames, 1/2 for a step of 2 px.
      const F32s across =
          (load(twice + 1) - load(twice - 1)) * (0.25f * load(inside + 1) * load(inside - 1));
      const F32s down = (load(twice + pitch) - load(twice - pitch)) *
                        (0.25f * load(inside + pitch) * load(inside - pitch));
      xx = multiply_add(across, across, xx);
      xy = multiply_add(across, down, xy);
      yy = multiply_add(down, down, yy);
    }
    const F32s found[6] = {aa, bb, ab, xx, xy, yy};
    for (int index = 0; index < 6; ++index) store(products[index].columns + x, found[index]);
  }
  for (int index = 0; index < 6; ++index) sums.products[index] = products[index].total();
}

double sum_block(const float* first, std::int64_t pitch, int rows, int columns) noexcept {
  ColumnSums sums{};
  for (int x = 0; x < columns; x += kLanes) {
    F32s sum{};
    for (int y = 0; y < rows; ++y) {
      const float* at = first + y * pitch + x;
      sum += columns - x >= kLanes ? load(at) : load_first(at, columns - x);
    }
    store(sums.columns + x, sum);
  }
  return sums.total();
}

}  // namespace cineflow::CINEFLOW_ISA
