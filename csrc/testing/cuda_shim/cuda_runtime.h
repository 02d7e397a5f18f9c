// The part of CUDA that cineflow's kernels use, on the CPU.
//
// Problem: tests, sanitizers and debuggers must see the CUDA kernels on machines without a GPU.
//
// Solution: the .cu sources compile unchanged with a host compiler against this header, and a
// launch runs its threads one after another, before it returns (runtime.cpp).
//
// Kernels and launchers can use only what is declared here: allocation, copies and synchronisation
// are not. Shared memory must be dynamic (core/cuda/shared_memory.h); an array declared __shared__
// inside a kernel would be a separate array in each thread.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __shared__
#define __launch_bounds__(...)

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct alignas(16) float4 {
  float x, y, z, w;
};

struct alignas(8) uint2 {
  unsigned x, y;
};

struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

using cudaStream_t = struct CUstream_st*;

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorInvalidDeviceFunction = 98,
  cudaErrorInvalidDevice = 101,
  cudaErrorLaunchOutOfResources = 701,
  cudaErrorLaunchFailure = 719,
};

struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  void* attrs = nullptr;
  unsigned numAttrs = 0;
};

// These describe the CUDA thread that is running.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;

void __syncthreads();

inline void sincospif(float turns, float* sine, float* cosine) {
  constexpr double kPi = 3.14159265358979323846;
  *sine = static_cast<float>(std::sin(kPi * turns));
  *cosine = static_cast<float>(std::cos(kPi * turns));
}

/// There are two identical devices.
cudaError_t cudaGetDeviceCount(int* count);

enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16 };

/// The devices have as many multiprocessors as a large one.
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = 132;
  return cudaSuccess;
}

struct cudaFuncAttributes {
  int ptxVersion;
};

/// All kernels are compiled for a recent device.
template <typename Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel*) {
  attributes->ptxVersion = 90;
  return cudaSuccess;
}

enum cudaDriverEntryPointQueryResult {
  cudaDriverEntryPointSuccess = 0,
  cudaDriverEntryPointSymbolNotFound = 1,
};
constexpr unsigned long long cudaEnableDefault = 0;

/// Finds the driver's functions for contexts. A thread has a stack of them; a launch in a thread
/// without one creates the primary context of device 0 there, as CUDA does.
cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned version,
                                             unsigned long long flags,
                                             cudaDriverEntryPointQueryResult* result);

/// Returns the error of the last launch and clears it.
cudaError_t cudaGetLastError();
const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);

namespace cuda_shim {

/// Runs `thread(context)` once for each CUDA thread of the launch.
cudaError_t run(const cudaLaunchConfig_t& launch, void (*thread)(const void* context),
                const void* context);

}  // namespace cuda_shim

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* launch, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  // A kernel's parameters are copied when it is launched.
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<std::decay_t<Parameters>...> values;
  };
  const Call call{kernel, {std::forward<Arguments>(arguments)...}};
  return cuda_shim::run(
      *launch,
      [](const void* context) {
        const Call& made = *static_cast<const Call*>(context);
        std::apply(made.kernel, made.values);
      },
      &call);
}
