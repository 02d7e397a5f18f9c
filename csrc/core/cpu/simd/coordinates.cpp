// Where each pixel of a run is sampled: along a flow, along a ray, or back from polar coordinates.
// The coordinate arrays have room for whole vectors.
#include "cpu/kernels.h"
#include "cpu/simd/isa.h"
#include "cpu/simd/vec.h"
#include "math/polar.h"

namespace cineflow::CINEFLOW_ISA {

void follow_flow(const FlowRun& run) noexcept {
  int index = 0;
  if (run.step == 1) {
    for (; index + kLanes <= run.count; index += kLanes) {
      const F32s column = run.column + static_cast<float>(index) + lane_numbers();
      store(run.x + index, column + load(run.across + index));
      store(run.y + index, run.row + load(run.down + index));
    }
  }
  for (; index < run.count; ++index) {
    run.x[index] = run.column + static_cast<float>(index) + run.across[index * run.step];
    run.y[index] = run.row + run.down[index * run.step];
  }
}

void follow_ray(const RayRun& run) noexcept {
  for (int index = 0; index < run.count; index += kLanes) {
    const F32s sample = static_cast<float>(run.first + index) + lane_numbers();
    const F32s radius = run.first_radius + sample * run.radius_step;
    store(run.x + index, run.centre_x + radius * run.across);
    store(run.y + index, run.centre_y + radius * run.down);
  }
}

void to_polar(const PolarRun& run) noexcept {
  const F32s y = splat(run.y);
  for (int start = 0; start < run.count; start += kLanes) {
    const F32s x = run.x + static_cast<float>(start) + lane_numbers();
    const F32s square = x * x + y * y;
    F32s length;
    for (int lane = 0; lane < kLanes; ++lane) length[lane] = __builtin_sqrtf(square[lane]);
    const F32s radius = (length - run.first_radius) * run.samples_per_pixel;
    const F32s angle = angular_sample<Vectors>(angle_of<Vectors>(x, y), run.grid);
    store(run.radius + start, radius);
    store(run.angle + start, angle);
  }
}

}  // namespace cineflow::CINEFLOW_ISA
