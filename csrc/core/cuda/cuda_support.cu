#include <cuda_runtime.h>

#include "cineflow/cuda_support.h"

namespace cineflow {

const char* cuda_architectures() noexcept { return CINEFLOW_CUDA_ARCHITECTURES; }

int cuda_device_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();  // a missing driver must not appear as an error of the next launch
  return 0;
}

}  // namespace cineflow
