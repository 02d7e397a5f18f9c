// The arithmetic of the normal equations of one cell: weights, solution and what is left. `Real` is
// float, or a vector of cells.
#pragma once

#include <cmath>

#include "math/host_device.h"

namespace cineflow {

/// Cells on each side of a cell in the mean of the unexplained variance, and their weight.
constexpr int kAroundReach = 2;
constexpr float kAroundShare = 1.0f / (2 * kAroundReach + 1);

/// Cells on each side of a cell in the widest window.
constexpr int kMaxWindowReach = 32;

/// The Gaussian window along one axis: tap[i] is the weight of the cell i - reach.
struct GaussianWindow {
  int reach;
  float taps[2 * kMaxWindowReach + 1];

  CINEFLOW_HD int count() const { return 2 * reach + 1; }
};

/// Of standard deviation `sigma` in cells, cut at 2.5 sigma, of sum 1.
inline GaussianWindow gaussian_window(float sigma) noexcept {
  GaussianWindow window{};
  const double exact = sigma;
  const int wanted = static_cast<int>(std::ceil(2.5 * exact));
  window.reach = wanted < 1 ? 1 : wanted > kMaxWindowReach ? kMaxWindowReach : wanted;
  double sum = 0.0;
  double weights[2 * kMaxWindowReach + 1];
  for (int at = 0; at < window.count(); ++at) {
    const double cells = at - window.reach;
    weights[at] = std::exp(-cells * cells / (2.0 * exact * exact));
    sum += weights[at];
  }
  for (int at = 0; at < window.count(); ++at) {
    window.taps[at] = static_cast<float>(weights[at] / sum);
  }
  return window;
}

template <typename Real>
struct NormalEquations {
  Real xx, xy, yy;  // A
  Real xt, yt;      // b
};

/// The inverse of M, a symmetric matrix.
template <typename Real>
struct InverseMatrix {
  Real xx, xy, yy;
};

template <typename Real>
struct FlowVector {
  Real x, y;
};

/// 0 where `value` is below 0 or NaN.
template <typename Real>
CINEFLOW_HD Real at_least_zero(Real value) {
  const Real zero{};
  return value > zero ? value : zero;
}

/// w: `around` is the mean of the unexplained variance over the cells around.
template <typename Real>
CINEFLOW_HD Real weight_of(Real mask, Real around, Real trust) {
  return mask * (trust / (at_least_zero(around) + trust));
}

/// The inverse of the windowed A plus the ridge.
///
/// The determinant of A is 0 or more (Cauchy-Schwarz), but rounded sums of one direction may come
/// out below. The ridge's part is added to it, so the result is finite for every ridge above 0.
template <typename Real>
CINEFLOW_HD InverseMatrix<Real> inverse_of(const NormalEquations<Real>& sums, Real ridge) {
  const Real rest = at_least_zero(sums.xx * sums.yy - sums.xy * sums.xy);
  const Real scale = 1.0f / (rest + ridge * (sums.xx + sums.yy + ridge));
  return {scale * (sums.yy + ridge), -(scale * sums.xy), scale * (sums.xx + ridge)};
}

template <typename Real>
CINEFLOW_HD FlowVector<Real> product_of(const InverseMatrix<Real>& inverse, Real x, Real y) {
  return {inverse.xx * x + inverse.xy * y, inverse.xy * x + inverse.yy * y};
}

/// b - A u, times `factor`.
template <typename Real>
CINEFLOW_HD FlowVector<Real> rest_of(const NormalEquations<Real>& cell,
                                     const FlowVector<Real>& flow, Real factor) {
  return {factor * (cell.xt - cell.xx * flow.x - cell.xy * flow.y),
          factor * (cell.yt - cell.xy * flow.x - cell.yy * flow.y)};
}

/// v - u . (2 b - A u), the variance that u leaves unexplained.
template <typename Real>
CINEFLOW_HD Real unexplained_of(const NormalEquations<Real>& cell, Real variance,
                                const FlowVector<Real>& flow) {
  const Real x = 2.0f * cell.xt - cell.xx * flow.x - cell.xy * flow.y;
  const Real y = 2.0f * cell.yt - cell.xy * flow.x - cell.yy * flow.y;
  return variance - flow.x * x - flow.y * y;
}

}  // namespace cineflow
