// Polar coordinates, for one number or a vector of numbers as in math/bilinear.h.
#pragma once

#include <cmath>

#include "math/bilinear.h"

namespace cineflow {

/// Angle of (x, y) in [0, 2 pi), 0 at the origin. Largest error 3e-7 rad.
///
/// An odd polynomial approximates the arctangent on [0, 1], fitted to minimise the largest error
/// (weighted least squares on Chebyshev nodes, reweighted until the error is equal at all its
/// peaks). The other octants are mirrored onto it.
template <typename Numbers = Scalar>
CINEFLOW_HD typename Numbers::Real angle_of(typename Numbers::Real x, typename Numbers::Real y) {
  using Real = typename Numbers::Real;
  const Real zero = Numbers::splat(0.0f);
  const Real wide = x < zero ? -x : x;
  const Real tall = y < zero ? -y : y;
  const Real long_side = wide > tall ? wide : tall;
  const Real short_side = wide > tall ? tall : wide;
  const Real ratio = short_side / (long_side > zero ? long_side : zero + 1.0f);
  const Real square = ratio * ratio;
  Real angle = Numbers::splat(-1.5093023e-03f);
  angle = angle * square + 9.567336e-03f;
  angle = angle * square - 2.8490767e-02f;
  angle = angle * square + 5.5028092e-02f;
  angle = angle * square - 8.2137614e-02f;
  angle = angle * square + 1.0878009e-01f;
  angle = angle * square - 1.4247222e-01f;
  angle = angle * square + 1.9996437e-01f;
  angle = angle * square - 3.333318e-01f;
  angle = angle * square + 1.e+00f;
  angle *= ratio;
  angle = wide >= tall ? angle : 1.57079632679489662f - angle;
  angle = x < zero ? 3.14159265358979324f - angle : angle;
  return y < zero ? 6.28318530717958648f - angle : angle;
}

struct Centre {
  float x, y;  // pixels
};

/// Moves a centre whose squared distances would overflow nearer, along its direction: all pixels
/// are beyond every radius either way. A non-finite centre becomes NaN.
CINEFLOW_HD Centre within_reach(Centre centre) {
  constexpr float kReach = 1e18f;
  const float wide = centre.x < 0.0f ? -centre.x : centre.x;
  const float tall = centre.y < 0.0f ? -centre.y : centre.y;
  const float far_side = wide > tall ? wide : tall;
  const float nearer = far_side > kReach ? kReach / far_side : 1.0f;
  return {centre.x * nearer, centre.y * nearer};
}

/// Where the angles of a polar image lie.
struct AngularGrid {
  float first;               // radians in [0, 2 pi)
  float samples_per_radian;  // negative where the angles decrease
  float turn;                // samples in a full circle, positive
  float cut;                 // larger positions count backwards from the first sample
};

/// The grid of `angles` samples, `step` radians apart, that begins at `first_angle`.
inline AngularGrid angular_grid(double first_angle, double step, std::int64_t angles,
                                bool wraps) noexcept {
  constexpr double kTurn = 6.283185307179586477;
  double first = std::fmod(first_angle, kTurn);
  if (first < 0) first += kTurn;
  // A full circle has exactly `angles` samples. A sector is cut in the middle of its gap, so that
  // each half of the gap belongs to the nearer edge.
  const double turn = wraps ? static_cast<double>(angles) : std::fabs(kTurn / step);
  const double cut = wraps ? turn : (static_cast<double>(angles) - 1.0 + turn) / 2.0;
  return {static_cast<float>(first), static_cast<float>(1.0 / step), static_cast<float>(turn),
          static_cast<float>(cut)};
}

/// The sample position of an angle (radians in [0, 2 pi]), in [cut - turn, cut].
template <typename Numbers = Scalar>
CINEFLOW_HD typename Numbers::Real angular_sample(typename Numbers::Real angle,
                                                  const AngularGrid& grid) {
  using Real = typename Numbers::Real;
  Real position = (angle - grid.first) * grid.samples_per_radian;
  position = position < 0.0f ? position + grid.turn : position;
  return position > grid.cut ? position - grid.turn : position;
}

/// A position on an axis of `size` samples whose image ends sharply at its first and last sample:
/// NaN, which contributes 0, outside of them. A rounded position of the edge itself is on it.
template <typename Numbers = Scalar>
CINEFLOW_HD typename Numbers::Real position_in_sector(typename Numbers::Real position,
                                                      std::int64_t size) {
  using Real = typename Numbers::Real;
  constexpr float kEdge = 1.0f / 1024.0f;  // samples
  const auto last = static_cast<float>(size - 1);
  const Real first_sample = Numbers::splat(0.0f);
  const Real last_sample = Numbers::splat(last);
  const typename Numbers::Mask inside = (position >= -kEdge) & (position <= last + kEdge);
  Real on_axis = position < 0.0f ? first_sample : position;
  on_axis = on_axis > last ? last_sample : on_axis;
  return inside ? on_axis : Numbers::splat(__builtin_nanf(""));
}

}  // namespace cineflow
