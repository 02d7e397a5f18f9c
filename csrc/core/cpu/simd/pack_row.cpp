// Packs rows of features for the correlation: as f32, one channel after another.
#include "cpu/simd/kernels.h"
#include "cpu/simd/vec.h"
#include "math/dispatch.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

/// Copies up to kTileColumns adjacent values.
template <typename Source>
CINEFLOW_HD void copy_piece(const Source* from, int count, float* to) {
  int at = 0;
#pragma GCC unroll 4
  for (; at + kLanes <= count; at += kLanes) store(to + at, load(from + at));
  if (at == count) return;
  if (at > 0) return store(to + count - kLanes, load(from + count - kLanes));
  store_first(to, load_first(from, count), count);
}

template <typename Source>
void pack_values(const RowPacking& row) {
  const auto columns = static_cast<int>(row.columns);
  for (std::int64_t channel = 0; channel < row.channels; ++channel) {
    const Source* from = static_cast<const Source*>(row.from) + channel * row.channel_stride;
    float* to = row.to + channel * row.to_stride;
    for (int column = 0; column < columns; column += kTileColumns, to += row.piece_stride) {
      const int left = columns - column;
      if (left >= kTileColumns) {
        copy_piece(from + column, kTileColumns, to);
      } else {
        copy_piece(from + column, left, to);
      }
    }
  }
}

template <typename Source>
void pack_strided_values(const RowPacking& row) {
  for (std::int64_t channel = 0; channel < row.channels; ++channel) {
    const Source* from = static_cast<const Source*>(row.from) + channel * row.channel_stride;
    float* to = row.to + channel * row.to_stride;
    for (std::int64_t column = 0; column < row.columns; ++column) {
      to[column / kTileColumns * row.piece_stride + column % kTileColumns] =
          to_float(from[column * row.column_stride]);
    }
  }
}

}  // namespace

void pack_row(const RowPacking& row) noexcept {
  with_float_storage(row.dtype, [&](auto tag) {
    using Source = typename decltype(tag)::type;
    row.column_stride == 1 ? pack_values<Source>(row) : pack_strided_values<Source>(row);
  });
}

}  // namespace cineflow::CINEFLOW_ISA
