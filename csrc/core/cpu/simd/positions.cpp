// Sample positions of the polar ops: along a ray, and from Cartesian pixels.
//
// Whole vectors are written, so the arrays are longer than the run (kScratchSamples).
#include "cpu/simd/kernels.h"
#include "cpu/simd/vec.h"
#include "math/polar.h"

namespace cineflow::CINEFLOW_ISA {

void follow_ray(const RayRun& run) noexcept {
  for (int index = 0; index < run.count; index += kLanes) {
    const F32s sample = static_cast<float>(run.first + index) + lane_numbers();
    const F32s radius = multiply_add(sample, splat(run.radius_step), splat(run.first_radius));
    store(run.x + index, multiply_add(radius, splat(run.across), splat(run.centre_x)));
    store(run.y + index, multiply_add(radius, splat(run.down), splat(run.centre_y)));
  }
}

void to_polar(const PolarRun& run) noexcept {
  const F32s y = splat(run.y);
  for (int start = 0; start < run.count; start += kLanes) {
    const F32s x = run.x + static_cast<float>(start) + lane_numbers();
    const F32s square = x * x + y * y;
    F32s radius = (square_root(square) - run.first_radius) * run.samples_per_pixel;
    F32s angle = angular_sample<Vectors>(angle_of<Vectors>(x, y), run.grid);
    if (run.ends_sharply) {
      radius = position_in_sector<Vectors>(radius, run.radii);
      angle = position_in_sector<Vectors>(angle, run.angles);
    }
    store(run.radius + start, radius);
    store(run.angle + start, angle);
  }
}

}  // namespace cineflow::CINEFLOW_ISA
