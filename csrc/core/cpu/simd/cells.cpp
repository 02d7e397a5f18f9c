// Rows of cells of cpu/lucas_kanade_step.cpp.
#include "cineflow/lucas_kanade_step.h"
#include "cpu/cell_rows.h"
#include "cpu/simd/kernels.h"
#include "cpu/simd/vec.h"
#include "math/normal_equations.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

constexpr int kGatheredPlanes = kEquationPlanes + 1;

/// Sums down the rows of the cells, of each column of pixels: xx, xy, yy, xt, yt, tt.
CINEFLOW_HD void sum_columns(const CellGather& task) {
  const F32s quarter = splat(0.25f), eighth = splat(0.125f);
  for (std::int64_t x = 0; x < task.pixels; x += kLanes) {
    const float* from = task.mean + x;
    F32s left_above = load(from - 1), above = load(from), right_above = load(from + 1);
    from += task.pitch;
    F32s left = load(from - 1), here = load(from), right = load(from + 1);
    F32s sums[kGatheredPlanes] = {};
    for (int y = 0; y < task.cell; ++y) {
      from += task.pitch;
      const F32s left_below = load(from - 1), below = load(from), right_below = load(from + 1);
      const F32s across =
          multiply_add(quarter, right - left,
                       eighth * ((right_above - left_above) + (right_below - left_below)));
      const F32s down =
          multiply_add(quarter, below - above,
                       eighth * ((left_below - left_above) + (right_below - right_above)));
      const F32s change = load(task.change + y * task.pitch + x);
      sums[0] = multiply_add(across, across, sums[0]);
      sums[1] = multiply_add(across, down, sums[1]);
      sums[2] = multiply_add(down, down, sums[2]);
      sums[3] = multiply_add(across, change, sums[3]);
      sums[4] = multiply_add(down, change, sums[4]);
      sums[5] = multiply_add(change, change, sums[5]);
      left_above = left, above = here, right_above = right;
      left = left_below, here = below, right = right_below;
    }
    for (int plane = 0; plane < kGatheredPlanes; ++plane) {
      store(task.columns + plane * task.pitch + x, sums[plane]);
    }
  }
}

/// The means of cells of `kCell` pixels, or of `task.cell` where that is 0.
template <int kCell>
CINEFLOW_HD void average_columns(const CellGather& task) {
  const int cell = kCell > 0 ? kCell : task.cell;
  const float share = 1.0f / static_cast<float>(cell * cell);
  for (int plane = 0; plane < kGatheredPlanes; ++plane) {
    const float* from = task.columns + plane * task.pitch;
    float* to = plane < kEquationPlanes ? task.equations[plane] : task.variance;
    for (std::int64_t at = 0; at < task.cells; ++at) {
      float sum = from[at * cell];
      for (int pixel = 1; pixel < cell; ++pixel) sum += from[at * cell + pixel];
      to[at] = share * sum;
    }
    for (std::int64_t at = task.cells; at < task.padded_cells; ++at) to[at] = 0.0f;
  }
}

CINEFLOW_HD NormalEquations<F32s> equations_at(const CellRow& row, std::int64_t x) {
  return {load(row.equations[0] + x), load(row.equations[1] + x), load(row.equations[2] + x),
          load(row.equations[3] + x), load(row.equations[4] + x)};
}

CINEFLOW_HD InverseMatrix<F32s> inverse_at(const CellRow& row, std::int64_t x) {
  return {load(row.inverse[0] + x), load(row.inverse[1] + x), load(row.inverse[2] + x)};
}

template <int kVectors>
CINEFLOW_HD void sum_window_at(const WindowSum& task, const float* from, float* to) {
  F32s sums[kVectors] = {};
  for (int tap = 0; tap < task.count; ++tap) {
    const F32s weight = splat(task.taps[tap]);
#pragma GCC unroll 8
    for (int at = 0; at < kVectors; ++at) {
      sums[at] = multiply_add(weight, load(from + tap * task.step + at * kLanes), sums[at]);
    }
  }
#pragma GCC unroll 8
  for (int at = 0; at < kVectors; ++at) store(to + at * kLanes, sums[at]);
}

}  // namespace

void pair_pixels(const PixelPair& task) noexcept {
  const F32s half = splat(0.5f);
  float* mean = task.mean + 1;
  for (std::int64_t x = 0; x < task.count; x += kLanes) {
    const int left = static_cast<int>(task.count - x < kLanes ? task.count - x : kLanes);
    const bool whole = left == kLanes;
    const F32s a = whole ? load(task.previous + x) : load_first(task.previous + x, left);
    const F32s b = whole ? load(task.current + x) : load_first(task.current + x, left);
    store(mean + x, half * (a + b));
    if (task.change != nullptr) store(task.change + x, a - b);
  }
  mean[-1] = mean[0];
  mean[task.count] = mean[task.count - 1];
}

void gather_cells(const CellGather& task) noexcept {
  sum_columns(task);
  switch (task.cell) {
    case 2:
      average_columns<2>(task);
      break;
    case 4:
      average_columns<4>(task);
      break;
    default:
      average_columns<0>(task);
  }
  const F32s zero{}, one = splat(1.0f), largest = splat(kLargestVariance);
  for (std::int64_t x = 0; x < task.padded_cells; x += kLanes) {
    const std::int64_t rest = task.cells - x;
    const int left = static_cast<int>(rest < 0 ? 0 : rest < kLanes ? rest : kLanes);
    const F32s mask = load_first(task.mask + (left > 0 ? x : 0), left);
    const F32s variance = load(task.variance + x);
    const F32s total = load(task.equations[0] + x) + load(task.equations[2] + x) + variance;
    const I32s counts = total <= largest;  // NaN does not
    for (float* plane : task.equations) store(plane + x, counts ? load(plane + x) : zero);
    store(task.variance + x, counts ? variance : zero);
    const F32s positive = (counts & (mask > zero)) ? mask : zero;
    store(task.prior + x, positive < one ? positive : one);
  }
}

void sum_window(const WindowSum& task) noexcept {
  for (int plane = 0; plane < task.planes; ++plane) {
    const float* from = task.from + plane * task.from_plane;
    float* to = task.to + plane * task.to_plane;
    std::int64_t x = 0;
    for (; x + 4 * kLanes <= task.cells; x += 4 * kLanes) {
      sum_window_at<4>(task, from + x, to + x);
    }
    for (; x < task.cells; x += kLanes) sum_window_at<1>(task, from + x, to + x);
  }
}

void weigh_cells(const CellRow& row) noexcept {
  const F32s trust = splat(row.trust), share = splat(kAroundShare);
  for (std::int64_t x = 0; x < row.cells; x += kLanes) {
    F32s around = load(row.around[0] + x);
    for (int at = 1; at < 5; ++at) around += load(row.around[at] + x);
    const F32s weight = weight_of(load(row.prior + x), share * around, trust);
    store(row.weight + x, weight);
    for (int plane = 0; plane < kEquationPlanes; ++plane) {
      store(row.weighted + plane * row.plane + x, weight * load(row.equations[plane] + x));
    }
  }
}

void solve_cells(const CellRow& row) noexcept {
  const F32s ridge = splat(row.ridge);
  for (std::int64_t x = 0; x < row.cells; x += kLanes) {
    const float* sums = row.sums + x;
    const NormalEquations<F32s> window{load(sums), load(sums + row.plane),
                                       load(sums + 2 * row.plane), load(sums + 3 * row.plane),
                                       load(sums + 4 * row.plane)};
    const InverseMatrix<F32s> inverse = inverse_of(window, ridge);
    const FlowVector<F32s> flow = product_of(inverse, window.xt, window.yt);
    store(row.inverse[0] + x, inverse.xx);
    store(row.inverse[1] + x, inverse.xy);
    store(row.inverse[2] + x, inverse.yy);
    store(row.flow[0] + x, flow.x);
    store(row.flow[1] + x, flow.y);
  }
}

void explain_cells(const CellRow& row) noexcept {
  for (std::int64_t x = 0; x < row.cells; x += kLanes) {
    const FlowVector<F32s> flow{load(row.flow[0] + x), load(row.flow[1] + x)};
    store(row.unexplained + x, unexplained_of(equations_at(row, x), load(row.variance + x), flow));
  }
}

void leave_cells(const CellRow& row) noexcept {
  for (std::int64_t x = 0; x < row.cells; x += kLanes) {
    const FlowVector<F32s> flow{load(row.flow[0] + x), load(row.flow[1] + x)};
    const FlowVector<F32s> rest = rest_of(equations_at(row, x), flow, load(row.weight + x));
    store(row.weighted + x, rest.x);
    store(row.weighted + row.plane + x, rest.y);
  }
}

void refine_cells(const CellRow& row) noexcept {
  for (std::int64_t x = 0; x < row.cells; x += kLanes) {
    const FlowVector<F32s> more =
        product_of(inverse_at(row, x), load(row.sums + x), load(row.sums + row.plane + x));
    store(row.flow[0] + x, load(row.flow[0] + x) + more.x);
    store(row.flow[1] + x, load(row.flow[1] + x) + more.y);
  }
}

}  // namespace cineflow::CINEFLOW_ISA
