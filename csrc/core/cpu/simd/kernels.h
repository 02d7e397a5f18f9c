// The kernels of the instruction set that this file is compiled for.
#pragma once

#include "cpu/kernel_table.h"

namespace cineflow::CINEFLOW_ISA {

Kernels::LocateSamples locate_samples;
Kernels::SampleLocated sample_located;
Kernels::SampleInOnePass sample_in_one_pass;
Kernels::Correlate correlate;
Kernels::FollowRay follow_ray;
Kernels::ToPolar to_polar;

}  // namespace cineflow::CINEFLOW_ISA
