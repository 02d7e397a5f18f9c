// Launches a kernel and turns the runtime's error into a Status.
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <cstdint>

#include "cineflow/status.h"
#include "cuda/current_device.h"

namespace cineflow {

/// Most blocks along y and z of a grid. A kernel that may have more tasks strides over them.
constexpr std::int64_t kMaxGridY = 65535;

inline unsigned grid_y(std::int64_t tasks) noexcept {
  return static_cast<unsigned>(tasks < kMaxGridY ? tasks : kMaxGridY);
}

constexpr std::int64_t ceil_div(std::int64_t value, std::int64_t divisor) noexcept {
  return (value + divisor - 1) / divisor;
}

/// Multiprocessors of a GPU, asked for once; 1 where the runtime does not know the device.
inline int multiprocessors(int device) noexcept {
  constexpr int kDevices = 64;
  static std::atomic<int> kept[kDevices];
  const bool fits = device >= 0 && device < kDevices;
  int count = fits ? kept[device].load() : 0;
  if (count > 0) return count;
  if (cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) != cudaSuccess) {
    cudaGetLastError();
    return 1;
  }
  if (fits) kept[device].store(count);
  return count;
}

struct Grid {
  dim3 blocks;
  dim3 threads;
  std::size_t shared_bytes = 0;
};

/// Enqueues `kernel(arguments...)` on a GPU and one of its streams. `name` appears in the error.
template <typename... Parameters, typename... Arguments>
Status launch(const char* name, const Grid& grid, int device, void* stream,
              void (*kernel)(Parameters...), const Arguments&... arguments) noexcept {
  cudaLaunchConfig_t configuration{};
  configuration.gridDim = grid.blocks;
  configuration.blockDim = grid.threads;
  configuration.dynamicSmemBytes = grid.shared_bytes;
  configuration.stream = static_cast<cudaStream_t>(stream);
  const CurrentDevice current(device);
  cudaError_t error = current.error();
  if (error == cudaSuccess) error = cudaLaunchKernelEx(&configuration, kernel, arguments...);
  if (error == cudaSuccess) return {};
  cudaGetLastError();  // reported here, so the caller's next check must not see it again
  return failure(Status::Code::kDevice, "a CUDA launch that succeeds", "%s: %s (%s)", name,
                 cudaGetErrorString(error), cudaGetErrorName(error));
}

}  // namespace cineflow
