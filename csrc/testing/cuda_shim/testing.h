// The controls of the shim for tests, which call them through ctypes.
#pragma once

#include <cstdint>

extern "C" {

[[gnu::visibility("default")]] std::int64_t cuda_shim_launches();

/// The stream of the last launch.
[[gnu::visibility("default")]] std::uintptr_t cuda_shim_stream();

/// The device of the last launch, and the calling thread's current device.
[[gnu::visibility("default")]] int cuda_shim_device();
[[gnu::visibility("default")]] int cuda_shim_current_device();

/// The next launch fails with this cudaError_t and does not run the kernel.
[[gnu::visibility("default")]] void cuda_shim_fail_next(int error);

/// Runs the threads of each block from the last to the first.
[[gnu::visibility("default")]] void cuda_shim_reverse_threads(bool reversed);
}
