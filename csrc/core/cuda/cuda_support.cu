#include <cuda_runtime.h>

#include "cineflow/cuda_support.h"

namespace cineflow {

const char* cuda_architectures() noexcept { return CINEFLOW_CUDA_ARCHITECTURES; }

int cuda_device_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();  // no driver is an answer here, not an error of the next launch
  return 0;
}

}  // namespace cineflow
