// Launches a kernel and turns the runtime's error into a Status.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cineflow/status.h"

namespace cineflow {

/// Most blocks along y and z of a grid. A kernel that may have more tasks strides over them.
constexpr std::int64_t kMaxGridY = 65535;

inline unsigned grid_y(std::int64_t tasks) noexcept {
  return static_cast<unsigned>(tasks < kMaxGridY ? tasks : kMaxGridY);
}

constexpr std::int64_t ceil_div(std::int64_t value, std::int64_t divisor) noexcept {
  return (value + divisor - 1) / divisor;
}

struct Grid {
  dim3 blocks;
  dim3 threads;
  std::size_t shared_bytes = 0;
};

/// Makes a GPU the calling thread's current device while it lives, then restores the previous one.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device) noexcept : error_(cudaGetDevice(&before_)) {
    if (error_ != cudaSuccess || before_ == device) return;
    error_ = cudaSetDevice(device);
    changed_ = error_ == cudaSuccess;
  }
  ~CurrentDevice() {
    if (changed_) cudaSetDevice(before_);
  }

  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

  cudaError_t error() const noexcept { return error_; }

 private:
  int before_ = 0;
  bool changed_ = false;
  cudaError_t error_;
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
