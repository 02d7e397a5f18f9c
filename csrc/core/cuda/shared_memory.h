// A block's shared memory. It is always dynamic, so that the launch alone says how much there is.
#pragma once

#include <cuda_runtime.h>

namespace cineflow {

extern __shared__ float4 shared_memory[];

}  // namespace cineflow
