// The CUDA support of this build and this machine, for reports such as `cineflow doctor`.
#pragma once

namespace cineflow {

/// GPU architectures that this build has code for, such as "80,120"; "" without CUDA kernels.
const char* cuda_architectures() noexcept;

/// Number of devices the driver lists; 0 without a driver or without CUDA kernels.
int cuda_device_count() noexcept;

}  // namespace cineflow
