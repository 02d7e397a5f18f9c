#include <cuda_runtime.h>

#include <cstddef>
#include <cstdio>

#include "cineflow/cuda_support.h"

namespace cineflow {

namespace {

#if defined(__CUDA_ARCH_LIST__)
// nvcc's own list, such as 800,1200: also "native" is a number there.
constexpr int kArchitectures[] = {__CUDA_ARCH_LIST__};
#else
constexpr int kArchitectures[] = {0};
#endif

/// "80,120", from {800, 1200}; "shim" where the host compiler built the kernels.
struct ArchitectureNames {
  char text[128] = "shim";

  ArchitectureNames() {
    std::size_t used = 0;
    for (const int number : kArchitectures) {
      if (number == 0 || used >= sizeof(text)) continue;
      used +=
          std::snprintf(text + used, sizeof(text) - used, used == 0 ? "%d" : ",%d", number / 10);
    }
  }
};

}  // namespace

const char* cuda_architectures() noexcept {
  static const ArchitectureNames names;
  return names.text;
}

int cuda_device_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();  // a missing driver must not appear as an error of the next launch
  return 0;
}

}  // namespace cineflow
