// The kernels of the instruction set that this file is compiled for.
#pragma once

#include "cpu/kernels.h"

namespace cineflow::CINEFLOW_ISA {

void find_places(const SampleChunk& chunk, const Coordinates& coordinates,
                 const Places& places) noexcept;
bool sample_in_one_pass(const SampleChunk& chunk, const Coordinates& coordinates) noexcept;
void sample(const SampleChunk& chunk, const Places& places) noexcept;
void correlate(const CorrelationTile& tile) noexcept;
void follow_ray(const RayRun& run) noexcept;
void to_polar(const PolarRun& run) noexcept;

}  // namespace cineflow::CINEFLOW_ISA
