// A block's shared memory. It is always dynamic: the launch decides its size.
#pragma once

#include <cuda_runtime.h>

namespace cineflow {

extern __shared__ float4 shared_memory[];

}  // namespace cineflow
