// One spelling for functions that the CPU kernels and the CUDA kernels share.
#pragma once

// Always inlined: the CPU kernels are compiled once per instruction set, and an out-of-line copy
// built for AVX-512 could be picked by the linker for all of them.
#if defined(__CUDACC__)
#define CINEFLOW_HD __host__ __device__ __forceinline__
#else
#define CINEFLOW_HD inline __attribute__((always_inline))
#endif
