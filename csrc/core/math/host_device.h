// Marks functions that the CPU kernels and the CUDA kernels share.
#pragma once

// Always inlined: the CPU kernels are compiled once per instruction set, and for all of them the
// linker could pick an out-of-line copy that was compiled for AVX-512.
#if defined(__CUDACC__)
#define CINEFLOW_HD __host__ __device__ __forceinline__
#else
#define CINEFLOW_HD inline __attribute__((always_inline))
#endif
