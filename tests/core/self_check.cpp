// Compares every op of the core on the CPU with a loop in double precision, written from its
// formula. It is for machines without Python, such as a cross build under an emulator. Prints one
// line per op with its largest error. The exit code is the number of wrong ops.
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "cineflow/compose_flow.h"
#include "cineflow/correlation.h"
#include "cineflow/instruction_set.h"
#include "cineflow/polar.h"
#include "cineflow/warp.h"

namespace {

using cineflow::Border;
using cineflow::Status;
using cineflow::TensorView;

constexpr std::int64_t kN = 2, kC = 5, kD = 4, kH = 19, kW = 37;
constexpr int kRadius = 3;
constexpr double kTurn = 6.283185307179586477;

/// A contiguous f32 tensor [N, C, H, W], or [N, C] with H = W = 1.
struct Tensor {
  std::int64_t sizes[4];
  std::vector<float> data;

  Tensor(std::int64_t n, std::int64_t c, std::int64_t h = 1, std::int64_t w = 1)
      : sizes{n, c, h, w}, data(n * c * h * w) {}

  float& at(std::int64_t n, std::int64_t c, std::int64_t y = 0, std::int64_t x = 0) {
    return data[((n * sizes[1] + c) * sizes[2] + y) * sizes[3] + x];
  }

  TensorView view(int rank = 4) {
    TensorView view;
    view.data = data.data();
    view.rank = rank;
    std::int64_t stride = 1;
    for (int axis = rank - 1; axis >= 0; --axis) {
      view.sizes[axis] = sizes[axis];
      view.strides[axis] = stride;
      stride *= sizes[axis];
    }
    return view;
  }
};

/// [N, C, D * H, W] as a volume [N, C, D, H, W].
TensorView volume_view(Tensor& tensor) {
  TensorView view = tensor.view();
  view.rank = cineflow::kVolumeRank;
  view.sizes[4] = view.sizes[3];
  view.strides[4] = view.strides[3];
  view.sizes[3] = view.sizes[2] / kD;
  view.strides[3] = view.strides[2];
  view.sizes[2] = kD;
  view.strides[2] = view.sizes[3] * view.strides[3];
  return view;
}

Tensor random_tensor(std::mt19937& random, double mean, double spread, std::int64_t n,
                     std::int64_t c, std::int64_t h = 1, std::int64_t w = 1) {
  Tensor tensor(n, c, h, w);
  std::normal_distribution<double> normal(mean, spread);
  for (float& value : tensor.data) value = static_cast<float>(normal(random));
  return tensor;
}

/// Bilinear sample at column x, row y. Neighbours outside and non-finite coordinates count 0. Rows
/// wrap around if the plane is periodic.
double reference_sample(Tensor& plane, std::int64_t n, std::int64_t c, double x, double y,
                        Border border, bool periodic = false) {
  if (!std::isfinite(x) || !std::isfinite(y)) return 0.0;
  const double last_x = static_cast<double>(plane.sizes[3] - 1);
  const double last_y = static_cast<double>(plane.sizes[2] - 1);
  if (border == Border::kClamp) {
    x = std::fmin(std::fmax(x, 0.0), last_x);
    if (!periodic) y = std::fmin(std::fmax(y, 0.0), last_y);
  }
  const double left = std::floor(x), top = std::floor(y);
  double sum = 0.0;
  for (int down = 0; down < 2; ++down) {
    for (int right = 0; right < 2; ++right) {
      double row = top + down;
      const double column = left + right;
      if (periodic) row = std::fmod(row + last_y + 1, last_y + 1);
      if (row < 0 || row > last_y || column < 0 || column > last_x) continue;
      const double weight = (down ? y - top : 1 - (y - top)) * (right ? x - left : 1 - (x - left));
      sum += weight *
             plane.at(n, c, static_cast<std::int64_t>(row), static_cast<std::int64_t>(column));
    }
  }
  return sum;
}

/// Trilinear sample at column x, row y, slice z of a volume [N, C, D * H, W].
double reference_sample(Tensor& volume, std::int64_t n, std::int64_t c, const double (&at)[3],
                        Border border) {
  const std::int64_t sizes[3] = {volume.sizes[3], volume.sizes[2] / kD, kD};
  double position[3], low[3];
  for (int axis = 0; axis < 3; ++axis) {
    if (!std::isfinite(at[axis])) return 0.0;
    position[axis] = at[axis];
    if (border == Border::kClamp) {
      position[axis] = std::fmin(std::fmax(at[axis], 0.0), static_cast<double>(sizes[axis] - 1));
    }
    low[axis] = std::floor(position[axis]);
  }
  double sum = 0.0;
  for (int corner = 0; corner < 8; ++corner) {
    double weight = 1.0;
    bool inside = true;
    std::int64_t pixel[3] = {};
    for (int axis = 0; axis < 3; ++axis) {
      const double neighbour = low[axis] + (corner >> axis & 1);
      weight *= 1.0 - std::fabs(position[axis] - neighbour);
      inside &= neighbour >= 0 && neighbour < static_cast<double>(sizes[axis]);
      if (inside) pixel[axis] = static_cast<std::int64_t>(neighbour);
    }
    if (inside) sum += weight * volume.at(n, c, pixel[2] * sizes[1] + pixel[1], pixel[0]);
  }
  return sum;
}

int failures = 0;

/// Compares `out` with `wanted(n, c, y, x)`.
template <typename Wanted>
void compare(const char* op, const Status& status, Tensor& out, double tolerance,
             const Wanted& wanted) {
  double worst = status.ok() ? 0.0 : HUGE_VAL;
  for (std::int64_t n = 0; n < out.sizes[0]; ++n) {
    for (std::int64_t c = 0; c < out.sizes[1]; ++c) {
      for (std::int64_t y = 0; y < out.sizes[2]; ++y) {
        for (std::int64_t x = 0; x < out.sizes[3]; ++x) {
          const double error = std::fabs(out.at(n, c, y, x) - wanted(n, c, y, x));
          worst = std::fmax(worst, std::isnan(error) ? HUGE_VAL : error);
        }
      }
    }
  }
  const bool right = worst <= tolerance;
  failures += !right;
  std::printf("%-20s %-8s largest error %.1e %s\n", op, cineflow::instruction_set(), worst,
              right ? "ok" : "WRONG");
}

void check_border(std::mt19937& random, Border border) {
  Tensor src = random_tensor(random, 0, 1, kN, kC, kH, kW);
  Tensor flow = random_tensor(random, 0, 6, kN, 2, kH, kW);
  flow.at(0, 0, 3, 4) = NAN;
  flow.at(0, 1, 5, 6) = -INFINITY;
  flow.at(1, 0, 7, 8) = 1e20f;
  const auto column = [](Tensor& field, std::int64_t n, std::int64_t y, std::int64_t x) {
    return double{static_cast<float>(x) + field.at(n, 0, y, x)};
  };
  const auto row = [](Tensor& field, std::int64_t n, std::int64_t y, std::int64_t x) {
    return double{static_cast<float>(y) + field.at(n, 1, y, x)};
  };
  const auto warped = [&](std::int64_t n, std::int64_t c, std::int64_t y, std::int64_t x) {
    return reference_sample(src, n, c, column(flow, n, y, x), row(flow, n, y, x), border);
  };
  Tensor out(kN, kC, kH, kW);
  cineflow::WarpArgs warp;
  warp.src = src.view();
  warp.flow = flow.view();
  warp.out = out.view();
  warp.border = border;
  compare("warp", cineflow::warp_cpu(warp, *cineflow::thread_pool()), out, 3e-6, warped);

  Tensor so_far = random_tensor(random, 0, 6, kN, 2, kH, kW);
  Tensor next = random_tensor(random, 0, 1, kN, 2, kH, kW);
  Tensor composed(kN, 2, kH, kW);
  cineflow::ComposeFlowArgs compose;
  compose.displacement = so_far.view();
  compose.flow = next.view();
  compose.out = composed.view();
  compose.border = border;
  compare("compose_flow", cineflow::compose_flow_cpu(compose), composed, 3e-6,
          [&](std::int64_t n, std::int64_t c, std::int64_t y, std::int64_t x) {
            return so_far.at(n, c, y, x) + reference_sample(next, n, c, column(so_far, n, y, x),
                                                            row(so_far, n, y, x), border);
          });

  constexpr int kSide = 2 * kRadius + 1;
  Tensor f1 = random_tensor(random, 0, 1, kN, kC, kH, kW);
  Tensor volume(kN, kSide * kSide, kH, kW);
  cineflow::CorrelationArgs match;
  match.f1 = f1.view();
  match.f2 = src.view();
  match.out = volume.view();
  match.radius = kRadius;
  match.scale = 0.25f;
  match.border = border;
  for (const bool warps : {false, true}) {
    if (warps) match.flow = flow.view();
    const std::int64_t bytes = cineflow::correlation_workspace(match, 1);
    std::vector<char> memory(bytes + 64);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    match.workspace = memory.data() + (64 - address % 64);
    const Status status = cineflow::correlation_cpu(match);
    compare(warps ? "warp_correlation" : "correlation", status, volume, 3e-6,
            [&](std::int64_t n, std::int64_t k, std::int64_t y, std::int64_t x) {
              const std::int64_t to_y = y + k / kSide - kRadius;
              const std::int64_t to_x = x + k % kSide - kRadius;
              if (to_y < 0 || to_y >= kH || to_x < 0 || to_x >= kW) return 0.0;
              double sum = 0.0;
              for (std::int64_t c = 0; c < kC; ++c) {
                sum += f1.at(n, c, y, x) *
                       (warps ? warped(n, c, to_y, to_x) : double{src.at(n, c, to_y, to_x)});
              }
              return 0.25 * sum;
            });
  }

  Tensor centre = random_tensor(random, 12, 2, kN, 2);
  constexpr std::int64_t kAngles = 24, kRadii = 15;
  Tensor polar(kN, kC, kAngles, kRadii);
  cineflow::PolarArgs there;
  there.src = src.view();
  there.centre = centre.view(2);
  there.out = polar.view();
  there.first_angle = 0.3;
  there.angle_step = kTurn / kAngles;
  there.first_radius = 0.5;
  there.radius_step = 0.75;
  there.border = border;
  // In f32 a coordinate of about 20 px has an error of 2e-6 px, and neighbours differ by a few
  // units.
  compare("polar_resample", cineflow::polar_resample_cpu(there), polar, 3e-5,
          [&](std::int64_t n, std::int64_t c, std::int64_t i, std::int64_t j) {
            const double angle = 0.3 + static_cast<double>(i) * there.angle_step;
            const double radius = 0.5 + static_cast<double>(j) * there.radius_step;
            return reference_sample(src, n, c, centre.at(n, 0) + radius * std::cos(angle),
                                    centre.at(n, 1) + radius * std::sin(angle), border);
          });

  Tensor source = random_tensor(random, 0, 1, kN, kC, kAngles, kRadii);
  Tensor back(kN, kC, kH, kW);
  cineflow::PolarArgs inverse = there;
  inverse.src = source.view();
  inverse.out = back.view();
  compare("polar_unresample", cineflow::polar_unresample_cpu(inverse), back, 3e-5,
          [&](std::int64_t n, std::int64_t c, std::int64_t y, std::int64_t x) {
            const double right = static_cast<double>(x) - centre.at(n, 0);
            const double down = static_cast<double>(y) - centre.at(n, 1);
            double turns = (std::atan2(down, right) - 0.3) / kTurn;
            turns -= std::floor(turns);
            return reference_sample(source, n, c,
                                    (std::hypot(right, down) - 0.5) / there.radius_step,
                                    turns * kAngles, border, true);
          });
}

void check_volumes(std::mt19937& random, Border border) {
  Tensor src = random_tensor(random, 0, 1, kN, kC, kD * kH, kW);
  Tensor flow = random_tensor(random, 0, 4, kN, 3, kD * kH, kW);
  flow.at(0, 0, 3, 4) = NAN;
  flow.at(0, 1, 5, 6) = -INFINITY;
  flow.at(1, 2, 7, 8) = 1e20f;
  const auto sampled = [border](Tensor& source, Tensor& field, std::int64_t n, std::int64_t c,
                                std::int64_t y, std::int64_t x) {
    const double at[3] = {static_cast<float>(x) + field.at(n, 0, y, x),
                          static_cast<float>(y % kH) + field.at(n, 1, y, x),
                          static_cast<float>(y / kH) + field.at(n, 2, y, x)};
    return reference_sample(source, n, c, at, border);
  };
  Tensor out(kN, kC, kD * kH, kW);
  cineflow::WarpArgs warp;
  warp.src = volume_view(src);
  warp.flow = volume_view(flow);
  warp.out = volume_view(out);
  warp.border = border;
  compare("warp_3d", cineflow::warp_cpu(warp, *cineflow::thread_pool()), out, 3e-6,
          [&](std::int64_t n, std::int64_t c, std::int64_t y, std::int64_t x) {
            return sampled(src, flow, n, c, y, x);
          });

  constexpr int kSide = 2 * kRadius + 1;
  Tensor f1 = random_tensor(random, 0, 1, kN, kC, kD * kH, kW);
  Tensor matches(kN, kSide * kSide * kSide, kD * kH, kW);
  cineflow::CorrelationArgs match;
  match.f1 = volume_view(f1);
  match.f2 = volume_view(src);
  match.out = volume_view(matches);
  match.radius = kRadius;
  match.scale = 0.25f;
  match.border = border;
  for (const bool warps : {false, true}) {
    if (warps) match.flow = volume_view(flow);
    std::vector<char> memory(cineflow::correlation_workspace(match, 1) + 64);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    match.workspace = memory.data() + (64 - address % 64);
    const Status status = cineflow::correlation_cpu(match);
    compare(warps ? "warp_correlation_3d" : "correlation_3d", status, matches, 3e-6,
            [&](std::int64_t n, std::int64_t k, std::int64_t y, std::int64_t x) {
              const std::int64_t to_z = y / kH + k / kSide / kSide - kRadius;
              const std::int64_t to_y = y % kH + k / kSide % kSide - kRadius;
              const std::int64_t to_x = x + k % kSide - kRadius;
              if (to_z < 0 || to_z >= kD || to_y < 0 || to_y >= kH || to_x < 0 || to_x >= kW) {
                return 0.0;
              }
              const std::int64_t row = to_z * kH + to_y;
              double sum = 0.0;
              for (std::int64_t c = 0; c < kC; ++c) {
                const double other =
                    warps ? sampled(src, flow, n, c, row, to_x) : double{src.at(n, c, row, to_x)};
                sum += f1.at(n, c, y, x) * other;
              }
              return 0.25 * sum;
            });
  }

  Tensor next = random_tensor(random, 0, 1, kN, 3, kD * kH, kW);
  Tensor composed(kN, 3, kD * kH, kW);
  flow.at(0, 0, 3, 4) = 0.5f;
  flow.at(0, 1, 5, 6) = -0.5f;
  cineflow::ComposeFlowArgs compose;
  compose.displacement = volume_view(flow);
  compose.flow = volume_view(next);
  compose.out = volume_view(composed);
  compose.border = border;
  compare("compose_flow_3d", cineflow::compose_flow_cpu(compose), composed, 3e-6,
          [&](std::int64_t n, std::int64_t c, std::int64_t y, std::int64_t x) {
            return flow.at(n, c, y, x) + sampled(next, flow, n, c, y, x);
          });
}

void require(const char* what, bool holds) {
  if (holds) return;
  std::printf("%s: WRONG\n", what);
  ++failures;
}

/// The bindings size scratch memory before the launcher checks the arguments.
void check_sizes_of_refused_arguments(std::mt19937& random) {
  Tensor image = random_tensor(random, 0, 1, kN, kC, kH, kW);
  Tensor volume(kN, 49, kH, kW);
  const auto workspace = [&](auto change) {
    cineflow::CorrelationArgs args;
    args.f1 = args.f2 = image.view();
    args.out = volume.view();
    args.radius = 3;
    change(args);
    return cineflow::correlation_workspace(args, 1024);
  };
  require("workspace", workspace([](auto&) {}) > 0);
  require("workspace of rank 0", workspace([](auto& args) { args.f1 = {}; }) == 0);
  require("workspace of rank 3", workspace([](auto& args) { args.f1.rank = 3; }) == 0);
  require("workspace of two sizes", workspace([](auto& args) { ++args.f2.sizes[3]; }) == 0);
  const auto volume_workspace = [](std::int64_t side) {
    cineflow::CorrelationArgs args;
    args.f1.rank = args.f2.rank = cineflow::kVolumeRank;
    for (int axis = 0; axis < cineflow::kVolumeRank; ++axis) {
      args.f1.sizes[axis] = args.f2.sizes[axis] = axis < 2 ? 2 : side;
    }
    return cineflow::correlation_workspace(args, 1024);
  };
  require("workspace of a volume", volume_workspace(8) > 0);
  for (const int bits : {11, 24, 60}) {
    require("workspace of a huge volume", volume_workspace(std::int64_t{1} << bits) == 0);
  }
  require("workspace of a radius", workspace([](auto& args) { args.radius = 1 << 30; }) == 0);
  require("workspace of a dilation", workspace([](auto& args) { args.dilation = 0; }) == 0);
  for (int axis = 1; axis < 4; ++axis) {
    require("workspace of a huge size", workspace([axis](auto& args) {
                                          args.f1.sizes[axis] = std::int64_t{1} << 60;
                                          args.f2.sizes[axis] = std::int64_t{1} << 60;
                                        }) == 0);
  }

  Tensor centre = random_tensor(random, 12, 2, 1, 2);
  const auto plan = [&](auto change) {
    cineflow::PolarArgs args;
    args.src = args.out = image.view();
    args.centre = centre.view(2);
    change(args);
    return cineflow::polar_plan_bytes(args);
  };
  require("plan", plan([](auto&) {}) > 0);
  require("plan of rank 3", plan([](auto& args) { args.out.rank = 3; }) == 0);
  require("plan of no source", plan([](auto& args) { args.src = {}; }) == 0);
  require("plan of no centre", plan([](auto& args) { args.centre = {}; }) == 0);
  require("plan of half a centre", plan([](auto& args) { args.centre.sizes[1] = 1; }) == 0);
  require("plan of an f16 centre",
          plan([](auto& args) { args.centre.dtype = cineflow::DType::kF16; }) == 0);
  require("plan of a centre on a GPU",
          plan([](auto& args) { args.centre.device = cineflow::Device::kCuda; }) == 0);
  for (int axis = 2; axis < 4; ++axis) {
    require("plan of a huge size",
            plan([axis](auto& args) { args.out.sizes[axis] = std::int64_t{1} << 60; }) == 0);
  }
}

}  // namespace

int main() {
  std::mt19937 random(7);
  check_sizes_of_refused_arguments(random);
  for (const char* name : {"avx512", "avx2", "baseline"}) {
    if (!cineflow::set_instruction_set(name)) continue;
    check_border(random, Border::kZeros);
    check_border(random, Border::kClamp);
    check_volumes(random, Border::kZeros);
    check_volumes(random, Border::kClamp);
  }
  return failures;
}
