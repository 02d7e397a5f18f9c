// The controls of the shim for tests, which call them through ctypes.
#pragma once

#include <cstdint>

extern "C" {

[[gnu::visibility("default")]] std::int64_t cuda_shim_launches();

/// The stream of the last launch.
[[gnu::visibility("default")]] std::uintptr_t cuda_shim_stream();

/// Blocks along x, y and z, threads along x, y and z, and bytes of shared memory of the last
/// launch.
[[gnu::visibility("default")]] void cuda_shim_last_launch(std::int64_t (*numbers)[7]);

/// The device of the last launch, and the calling thread's current one; -1 without a context.
[[gnu::visibility("default")]] int cuda_shim_device();
[[gnu::visibility("default")]] int cuda_shim_current_device();

/// Gives the calling thread the primary context of a device, as cudaSetDevice does.
[[gnu::visibility("default")]] void cuda_shim_set_device(int device);

/// Whether anything created the primary context of a device since it was last forgotten.
[[gnu::visibility("default")]] bool cuda_shim_has_context(int device);
[[gnu::visibility("default")]] void cuda_shim_forget_context(int device);

/// Runs only the blocks with this blockIdx.y; -1: all of them.
[[gnu::visibility("default")]] void cuda_shim_only_row(std::int64_t row);

/// The next launch fails with this cudaError_t and does not run the kernel.
[[gnu::visibility("default")]] void cuda_shim_fail_next(int error);

/// Runs the threads of each block from the last to the first.
[[gnu::visibility("default")]] void cuda_shim_reverse_threads(bool reversed);
}
