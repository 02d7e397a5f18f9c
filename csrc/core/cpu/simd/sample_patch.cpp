// The cells of a patch, for every channel of a map.
//
// Along y, the rows of a cell are added up as vectors of neighbouring pixels. Along x, the sums of
// each cell's pixels are then added up. With one sample per cell, neighbouring cells read
// neighbouring pixels, so that this step also works on vectors.
#include <algorithm>

#include "cpu/simd/kernels.h"
#include "cpu/simd/vec.h"
#include "math/dispatch.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

/// Floats of a row of sums: the pixels of the widest patch, and whole vectors from any of them on.
constexpr int kRowFloats = 3 * kMaxPatch + 32;

/// Sums over the rows of one cell, for `width` pixels from `from` on.
template <typename Source>
void sum_rows(const PatchSampling& task, const Source* from, int cell, int width, float* sums) {
  const PatchAxis& rows = *task.rows;
  const int count = rows.count[cell];
  from += rows.first[cell] * task.row_stride;
  const auto sum_at = [&](int column, int lanes) {
    F32s sum{};
    for (int row = 0; row < count; ++row) {
      const Source* pixels = from + row * task.row_stride + column;
      const F32s values = lanes == kLanes ? load(pixels) : load_first(pixels, lanes);
      sum = multiply_add(splat(rows.weights[row * rows.cells + cell]), values, sum);
    }
    store(sums + column, sum);
  };
  if (task.column_stride != 1) {
    for (int column = 0; column < width; ++column) {
      float sum = 0.0f;
      for (int row = 0; row < count; ++row) {
        sum = multiply_add(
            rows.weights[row * rows.cells + cell],
            to_float(from[row * task.row_stride + column * task.column_stride]), sum);
      }
      sums[column] = sum;
    }
    return;
  }
  int column = 0;
  for (; column + kLanes <= width; column += kLanes) sum_at(column, kLanes);
  if (column == width) return;
  // The last pixels together with some before them, where there are enough.
  if (width >= kLanes) {
    sum_at(width - kLanes, kLanes);
  } else {
    sum_at(column, width - column);
  }
}

/// Whether each cell reads two pixels, one further than the cell before it.
bool is_dense(const PatchAxis& columns) {
  for (int cell = 0; cell < columns.cells; ++cell) {
    if (columns.count[cell] != 2 || columns.first[cell] != columns.first[0] + cell) return false;
  }
  return true;
}

template <typename Source>
void sample(const PatchSampling& task) {
  const PatchAxis& rows = *task.rows;
  const PatchAxis& columns = *task.columns;
  const int width = columns.end - columns.begin;
  if (width == 0 || rows.begin == rows.end) {  // wholly outside: nothing to read
    for (std::int64_t channel = 0; channel < task.channels; ++channel) {
      std::fill_n(task.out + channel * task.out_stride, rows.cells * columns.cells, 0.0f);
    }
    return;
  }
  const bool dense = is_dense(columns);
  float sums[kRowFloats];
  for (std::int64_t channel = 0; channel < task.channels; ++channel) {
    const auto* from = static_cast<const Source*>(task.map) + channel * task.channel_stride +
                       columns.begin * task.column_stride;
    float* out = task.out + channel * task.out_stride;
    for (int row = 0; row < rows.cells; ++row, out += columns.cells) {
      sum_rows(task, from, row, width, sums);
      if (dense) {
        int cell = 0;
        for (; cell + kLanes <= columns.cells; cell += kLanes) {
          const F32s low = load(columns.weights + cell) * load(sums + cell);
          store(out + cell, multiply_add(load(columns.weights + columns.cells + cell),
                                         load(sums + cell + 1), low));
        }
        for (; cell < columns.cells; ++cell) {
          out[cell] = multiply_add(columns.weights[columns.cells + cell], sums[cell + 1],
                                   columns.weights[cell] * sums[cell]);
        }
        continue;
      }
      for (int cell = 0; cell < columns.cells; ++cell) {
        const float* own = sums + (columns.first[cell] - columns.begin);
        float sum = 0.0f;
        for (int at = 0; at < columns.count[cell]; ++at) {
          sum = multiply_add(columns.weights[at * columns.cells + cell], own[at], sum);
        }
        out[cell] = sum;
      }
    }
  }
}

}  // namespace

void sample_patch(const PatchSampling& task) noexcept {
  with_float_storage(task.dtype, [&](auto tag) { sample<typename decltype(tag)::type>(task); });
}

}  // namespace cineflow::CINEFLOW_ISA
