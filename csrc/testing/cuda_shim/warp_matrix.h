// Matrix instructions of a warp, on the CPU, written from the tables of the PTX ISA alone.
//
// All 32 threads of a warp must call them together: anything else fails the launch.
#pragma once

#include <cstdint>

namespace cuda_shim {

/// ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16
void ldmatrix_x4_trans(std::uint32_t (&to)[4], const void* row);

/// mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32, with d = c; and the same for bf16
void mma_m16n8k16_f16(float (&sums)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                      std::uint32_t b1);
void mma_m16n8k16_bf16(float (&sums)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                       std::uint32_t b1);

/// What the threads of a warp pass to an instruction.
struct WarpOperands {
  enum Kind : int { kNone, kLoad, kProduct } kind = kNone;
  const void* row = nullptr;
  std::uint32_t a[4] = {};
  std::uint32_t b[2] = {};
};

/// Waits for the whole warp, and gives `all` what each of its threads passed. Returns this thread's
/// place in the warp, or -1 where the warp is not together.
int exchange(const WarpOperands& mine, WarpOperands (&all)[32]);

}  // namespace cuda_shim
