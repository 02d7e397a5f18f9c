// Matrix instructions of a warp, for f16 and bf16 with f32 sums. They need sm_80 or later.
//
// A fragment is a matrix that the 32 threads of a warp hold together. Thread t holds, with g = t /
// 4 and q = t % 4 (PTX ISA, "Matrix Fragments for mma.m16n8k16"):
//   A, 16 x 16: rows g and g + 8 of columns 2 q, 2 q + 1, and then of columns 2 q + 8, 2 q + 9
//   B, 16 x 8:  rows 2 q, 2 q + 1 of column g, and then rows 2 q + 8, 2 q + 9
//   sums, 16 x 8: columns 2 q, 2 q + 1 of row g, and then of row g + 8
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "math/storage.h"

#if !defined(__CUDACC__)
#include "warp_matrix.h"
#endif

namespace cineflow {

/// Four 8 x 8 matrices from shared memory, transposed: thread t passes row t % 8 of matrix t / 8,
/// of 16 aligned bytes, and gets rows 2 q, 2 q + 1 of column g of each matrix.
__device__ inline void load_transposed(std::uint32_t (&to)[4], const void* row) {
#if !defined(__CUDACC__)
  cuda_shim::ldmatrix_x4_trans(to, row);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
#endif
}

/// sums += A B
template <typename T>
__device__ void multiply(float (&sums)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                         std::uint32_t b1);

template <>
__device__ inline void multiply<Half>(float (&sums)[4], const std::uint32_t (&a)[4],
                                      std::uint32_t b0, std::uint32_t b1) {
#if !defined(__CUDACC__)
  cuda_shim::mma_m16n8k16_f16(sums, a, b0, b1);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

template <>
__device__ inline void multiply<BFloat16>(float (&sums)[4], const std::uint32_t (&a)[4],
                                          std::uint32_t b0, std::uint32_t b1) {
#if !defined(__CUDACC__)
  cuda_shim::mma_m16n8k16_bf16(sums, a, b0, b1);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

}  // namespace cineflow
