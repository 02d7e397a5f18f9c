// The arithmetic of the statistics of a pair over blocks, for CPU and GPU: how an image is cut into
// blocks, the gradient of the flow, and what follows from the sums of all blocks.
#pragma once

#include <cmath>
#include <cstdint>

#include "cineflow/pair_blocks.h"
#include "math/host_device.h"

namespace cineflow {

struct PairBlockSums {
  double count;           // pixels in use
  double mean_a, mean_b;  // over them; 0 without a pixel in use
  double products[6];     // aa, bb, ab about these means; xx, xy, yy of the gradient
};

/// Of a row of the pair, on the GPU.
struct PairRowSums {
  float a, b;
  std::int32_t mark;  // which inputs have a value that is not finite
};

/// How an image is cut into blocks.
struct BlockGrid {
  std::int64_t height, width;              // of the image
  std::int64_t block_height, block_width;  // of one block
  std::int64_t rows, columns;              // of blocks
};

CINEFLOW_HD BlockGrid block_grid(std::int64_t height, std::int64_t width) {
  const std::int64_t block_height = height < kPairBlock ? height : kPairBlock;
  const std::int64_t block_width = width < kPairBlock ? width : kPairBlock;
  return {height, width, block_height, block_width, height / block_height, width / block_width};
}

/// The samples of the flow along one axis, from which its gradient is made.
struct GradientAxis {
  std::int64_t step;       // pixels from one to the next
  std::int64_t per_block;  // samples of one block
  std::int64_t count;      // samples of all blocks
};

CINEFLOW_HD GradientAxis gradient_axis(std::int64_t side, std::int64_t blocks) {
  const std::int64_t step = side % kDeformationStep == 0 ? kDeformationStep : 1;
  return {step, side / step, blocks * side / step};
}

/// A sample and those on both sides of it, pixels; at an edge, the sample itself is one of them.
struct FlowNeighbours {
  std::int64_t at, low, high;
  float per_px;
};

CINEFLOW_HD FlowNeighbours flow_neighbours(const GradientAxis& axis, std::int64_t index) {
  const std::int64_t at = axis.step / 2 + index * axis.step;
  const std::int64_t low = index > 0 ? at - axis.step : at;
  const std::int64_t high = index + 1 < axis.count ? at + axis.step : at;
  return {at, low, high, high > low ? 1.0f / static_cast<float>(high - low) : 0.0f};
}

/// Of one sample: the Frobenius norm of the flow's gradient, and 1 where the motion folds, else 0.
struct Deformation {
  float norm;
  int folded;
};

/// The deformation at (y, x) of a flow f32 [2, H, W], as differences of the samples on both sides.
CINEFLOW_HD Deformation deformation_at(const TensorView& flow, const FlowNeighbours& y,
                                       const FlowNeighbours& x) {
  const std::int64_t pitch = flow.strides[1];
  const auto* right = static_cast<const float*>(flow.data);
  const float* down = right + flow.strides[0];
  const float right_x = (right[y.at * pitch + x.high] - right[y.at * pitch + x.low]) * x.per_px;
  const float down_x = (down[y.at * pitch + x.high] - down[y.at * pitch + x.low]) * x.per_px;
  const float right_y = (right[y.high * pitch + x.at] - right[y.low * pitch + x.at]) * y.per_px;
  const float down_y = (down[y.high * pitch + x.at] - down[y.low * pitch + x.at]) * y.per_px;
  const float norm =
      std::sqrt(right_x * right_x + right_y * right_y + down_x * down_x + down_y * down_y);
  const float area = (1.0f + right_x) * (1.0f + down_y) - right_y * down_x;
  return {norm, area <= 0.0f ? 1 : 0};
}

/// Fields of a block that follow from the sums of the block and of those around it.
constexpr int kSummedFields = kYY + 1;

/// Writes those of one block; `frame` has the mean grey levels of both frames.
CINEFLOW_HD void summed_fields(const BlockGrid& grid, const PairBlockSums* sums, std::int64_t row,
                               std::int64_t column, const double (&frame)[2],
                               float (&fields)[kSummedFields]) {
  constexpr int kWindowed = kSummedFields - kPixels;  // count and the six products
  double window[kWindowed] = {};
  const std::int64_t last_row = row + 1 < grid.rows ? row + 1 : row;
  const std::int64_t last_column = column + 1 < grid.columns ? column + 1 : column;
  for (std::int64_t r = row > 0 ? row - 1 : row; r <= last_row; ++r) {
    for (std::int64_t c = column > 0 ? column - 1 : column; c <= last_column; ++c) {
      const double weight = (r == row ? 1.0 : 0.5) * (c == column ? 1.0 : 0.5);
      const PairBlockSums& near = sums[r * grid.columns + c];
      window[0] += weight * near.count;
      for (int index = 1; index < kWindowed; ++index) {
        window[index] += weight * near.products[index - 1];
      }
    }
  }
  const PairBlockSums& own = sums[row * grid.columns + column];
  const bool used = own.count > 0.0;
  const double weight = window[0] > 1.0 ? window[0] : 1.0;
  fields[kCount] = static_cast<float>(own.count);
  fields[kGreyA] = static_cast<float>(used ? own.mean_a : frame[0]);
  fields[kGreyB] = static_cast<float>(used ? own.mean_b : frame[1]);
  fields[kPixels] = static_cast<float>(weight);
  for (int index = 1; index < kWindowed; ++index) {
    fields[kPixels + index] = static_cast<float>(window[index] / weight);
  }
}

}  // namespace cineflow
