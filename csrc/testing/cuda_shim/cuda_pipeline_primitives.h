// Asynchronous copies into shared memory, on the CPU.
//
// A copy's target holds garbage (NaN as f32) from the call on, and the values only after the thread
// that made the copy has waited for it. A missing wait or barrier, or a copy into memory that is
// still read, therefore changes results. Targets must be aligned as on a device.
#pragma once

#include <cstddef>

void __pipeline_memcpy_async(void* target, const void* source, std::size_t bytes,
                             std::size_t zeroes = 0);
void __pipeline_commit();

/// Waits for all commits of this thread but the last `count`.
void __pipeline_wait_prior(std::size_t count);
