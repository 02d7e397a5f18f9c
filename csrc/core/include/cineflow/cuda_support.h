// What this build and this machine offer of CUDA, for reports such as `cineflow doctor`.
#pragma once

namespace cineflow {

/// GPU generations that this build holds code for ("80", CMake's list); "" without CUDA kernels.
const char* cuda_architectures() noexcept;

/// Devices that the driver shows; 0 without a driver or without CUDA kernels.
int cuda_device_count() noexcept;

}  // namespace cineflow
