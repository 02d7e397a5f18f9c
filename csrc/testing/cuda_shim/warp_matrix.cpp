#include "warp_matrix.h"

#include <cstring>

#include "math/storage.h"

namespace cuda_shim {
namespace {

using cineflow::BFloat16;
using cineflow::Half;

/// Element `index` of a thread's registers, two to a register, the first in the low half.
template <typename T>
float element(const std::uint32_t* registers, int index) {
  const auto bits = static_cast<std::uint16_t>(registers[index / 2] >> 16 * (index % 2));
  return cineflow::to_float(T{bits});
}

template <typename T>
void multiply(float (&sums)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  WarpOperands mine;
  mine.kind = WarpOperands::kProduct;
  std::memcpy(mine.a, a, sizeof(a));
  mine.b[0] = b0;
  mine.b[1] = b1;
  WarpOperands all[32];
  const int place = exchange(mine, all);
  if (place < 0) return;

  float left[16][16];  // A, row by row
  float right[16][8];  // B
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane >> 2;
    const int in_group = lane % 4;
    for (int i = 0; i < 8; ++i) {
      const bool upper = i < 2 || (4 <= i && i < 6);
      const int row = upper ? group : group + 8;
      const int column = in_group * 2 + (i & 1) + (i < 4 ? 0 : 8);
      left[row][column] = element<T>(all[lane].a, i);
    }
    for (int i = 0; i < 4; ++i) {
      right[in_group * 2 + (i & 1) + (i < 2 ? 0 : 8)][group] = element<T>(all[lane].b, i);
    }
  }
  for (int i = 0; i < 4; ++i) {
    const int row = i < 2 ? place >> 2 : (place >> 2) + 8;
    const int column = place % 4 * 2 + (i & 1);
    for (int k = 0; k < 16; ++k) sums[i] += left[row][k] * right[k][column];
  }
}

}  // namespace

void ldmatrix_x4_trans(std::uint32_t (&to)[4], const void* row) {
  WarpOperands mine;
  mine.kind = WarpOperands::kLoad;
  mine.row = row;
  WarpOperands all[32];
  const int place = exchange(mine, all);
  if (place < 0) return;
  // Threads 8 i to 8 i + 7 pass the rows of matrix i. Without .trans, a thread gets two neighbours
  // of row place / 4, from column 2 (place % 4) on; with it, rows and columns change places.
  for (int matrix = 0; matrix < 4; ++matrix) {
    std::uint16_t pair[2];
    for (int i = 0; i < 2; ++i) {
      const void* from = all[8 * matrix + 2 * (place % 4) + i].row;
      std::memcpy(&pair[i], static_cast<const char*>(from) + 2 * (place / 4), sizeof(pair[i]));
    }
    to[matrix] = pair[0] | static_cast<std::uint32_t>(pair[1]) << 16;
  }
}

void mma_m16n8k16_f16(float (&sums)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                      std::uint32_t b1) {
  multiply<Half>(sums, a, b0, b1);
}

void mma_m16n8k16_bf16(float (&sums)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                       std::uint32_t b1) {
  multiply<BFloat16>(sums, a, b0, b1);
}

}  // namespace cuda_shim
