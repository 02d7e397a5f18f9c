// Launches a kernel and turns what the runtime says about it into a Status.
#pragma once

#include <cuda_runtime.h>

#include "cineflow/status.h"

namespace cineflow {

/// Status of the launch just made; clears the error, so that it is told once.
inline Status launch_status(const char* kernel) noexcept {
  const cudaError_t error = cudaGetLastError();
  if (error == cudaSuccess) return {};
  return failure(Status::Code::kDevice, "a CUDA launch that succeeds", "%s: %s (%s)", kernel,
                 cudaGetErrorString(error), cudaGetErrorName(error));
}

}  // namespace cineflow
