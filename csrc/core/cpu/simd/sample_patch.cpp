// The cells of a patch, for every channel of a map.
//
// Along y, the rows of a cell are added up as vectors of neighbouring pixels. Along x, the sums of
// each cell's pixels are then added up. With one sample per cell, neighbouring cells read
// neighbouring pixels, so that this step also works on vectors. Maps with adjacent channels are
// sampled as vectors of channels.
#include <algorithm>

#include "cpu/simd/kernels.h"
#include "cpu/simd/vec.h"
#include "math/dispatch.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

/// Floats of a row of sums: the pixels of the widest patch, and whole vectors from any of them on.
constexpr int kRowFloats = 3 * kMaxPatch + 32;

/// Vectors of one row that are summed at a time: enough to hide the latency of the sums.
constexpr int kMostVectors = 4;

/// Sums over the rows of one cell, for kCount vectors of pixels from vector number `first` on. The
/// last vector of a row ends with the row, and may share pixels with the one before it.
///
/// The rows of a patch lie far apart in memory, where no processor looks ahead, so each vector
/// fetches that of the next channel.
template <int kCount, typename Source>
void sum_vectors(const PatchSampling& task, const Source* from, int cell, int width, int first,
                 float* sums) {
  const PatchAxis& rows = *task.rows;
  int offsets[kCount];
#pragma GCC unroll 4
  for (int at = 0; at < kCount; ++at) {
    offsets[at] = std::min((first + at) * kLanes, width - kLanes);
  }
  F32s totals[kCount] = {};
  const float* weights = rows.weights + cell;
  for (int row = 0; row < rows.count[cell]; ++row) {
    const F32s weight = splat(*weights);
#pragma GCC unroll 4
    for (int at = 0; at < kCount; ++at) {
      const Source* pixels = from + offsets[at];
      totals[at] = multiply_add(weight, load(pixels), totals[at]);
      __builtin_prefetch(pixels + task.channel_stride);
    }
    from += task.row_stride;
    weights += rows.cells;
  }
#pragma GCC unroll 4
  for (int at = 0; at < kCount; ++at) store(sums + offsets[at], totals[at]);
}

/// Sums over the rows of one cell, for `width` pixels from `from` on, one by one.
template <typename Source>
void sum_pixels(const PatchSampling& task, const Source* from, int cell, int width, float* sums) {
  const PatchAxis& rows = *task.rows;
  for (int column = 0; column < width; ++column) {
    float sum = 0.0f;
    for (int row = 0; row < rows.count[cell]; ++row) {
      const float value = to_float(from[row * task.row_stride + column * task.column_stride]);
      sum = multiply_add(rows.weights[row * rows.cells + cell], value, sum);
    }
    sums[column] = sum;
  }
}

template <typename Source>
void sum_rows(const PatchSampling& task, const Source* from, int cell, int width, float* sums) {
  from += task.rows->first[cell] * task.row_stride;
  if (task.column_stride != 1 || width < kLanes) return sum_pixels(task, from, cell, width, sums);
  const int vectors = (width + kLanes - 1) / kLanes;
  int first = 0;
  for (; first + kMostVectors <= vectors; first += kMostVectors) {
    sum_vectors<kMostVectors>(task, from, cell, width, first, sums);
  }
  switch (vectors - first) {
    case 3:
      return sum_vectors<3>(task, from, cell, width, first, sums);
    case 2:
      return sum_vectors<2>(task, from, cell, width, first, sums);
    case 1:
      return sum_vectors<1>(task, from, cell, width, first, sums);
  }
}

/// The sums of kCount cells along x, whose sums over rows are in `sums`. They have the same number
/// of pixels. Adding them up side by side hides the latency.
template <int kCount>
void sum_cells(const PatchAxis& columns, const float* sums, int cell, float* out) {
  const float* pixels[kCount];
#pragma GCC unroll 4
  for (int at = 0; at < kCount; ++at) {
    pixels[at] = sums + (columns.first[cell + at] - columns.begin);
  }
  float totals[kCount] = {};
  const float* weights = columns.weights + cell;
  for (int pixel = 0; pixel < columns.count[cell]; ++pixel) {
#pragma GCC unroll 4
    for (int at = 0; at < kCount; ++at) {
      totals[at] = multiply_add(weights[at], pixels[at][pixel], totals[at]);
    }
    weights += columns.cells;
  }
#pragma GCC unroll 4
  for (int at = 0; at < kCount; ++at) out[cell + at] = totals[at];
}

/// Whether each cell reads two pixels, one further than the cell before it.
bool is_dense(const PatchAxis& columns) {
  for (int cell = 0; cell < columns.cells; ++cell) {
    if (columns.count[cell] != 2 || columns.first[cell] != columns.first[0] + cell) return false;
  }
  return true;
}

/// The same where channels are adjacent: one cell of kLanes channels at a time. The last vector of
/// channels may share some with the one before it.
template <typename Source>
void sample_channels(const PatchSampling& task) {
  const PatchAxis& rows = *task.rows;
  const PatchAxis& columns = *task.columns;
  for (std::int64_t begin = 0; begin < task.channels; begin += kLanes) {
    const std::int64_t channel = std::min(begin, task.channels - kLanes);
    const Source* map = static_cast<const Source*>(task.map) + channel;
    float* out = task.out + channel * task.out_stride;
    for (int row = 0; row < rows.cells; ++row) {
      for (int column = 0; column < columns.cells; ++column, ++out) {
        const Source* line =
            map + rows.first[row] * task.row_stride + columns.first[column] * task.column_stride;
        F32s sum{};
        for (int down = 0; down < rows.count[row]; ++down, line += task.row_stride) {
          F32s own{};
          for (int right = 0; right < columns.count[column]; ++right) {
            own = multiply_add(splat(columns.weights[right * columns.cells + column]),
                               load(line + right * task.column_stride), own);
          }
          sum = multiply_add(splat(rows.weights[down * rows.cells + row]), own, sum);
        }
        for (int lane = 0; lane < kLanes; ++lane) out[lane * task.out_stride] = sum[lane];
      }
    }
  }
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
  if (task.channel_stride == 1 && task.column_stride != 1 && task.channels >= kLanes) {
    return sample_channels<Source>(task);
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
      int cell = 0;
      while (cell < columns.cells) {
        if (cell + 3 <= columns.cells && columns.count[cell] == columns.count[cell + 1] &&
            columns.count[cell] == columns.count[cell + 2]) {
          sum_cells<3>(columns, sums, cell, out);
          cell += 3;
        } else {
          sum_cells<1>(columns, sums, cell, out);
          ++cell;
        }
      }
    }
  }
}

}  // namespace

void sample_patch(const PatchSampling& task) noexcept {
  with_float_storage(task.dtype, [&](auto tag) { sample<typename decltype(tag)::type>(task); });
}

}  // namespace cineflow::CINEFLOW_ISA
