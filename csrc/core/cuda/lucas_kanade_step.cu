// One level of dense Lucas-Kanade on the GPU.
//
// The steps are those of the CPU (cpu/lucas_kanade_step.cpp), one launch each: no block waits for
// another. A block has a row of cells, or a part of one. It computes the planes along x also for
// the cells that the window reaches beyond its part, so that they meet in shared memory.
#include <utility>

#include "cineflow/lucas_kanade_step.h"
#include "cuda/launch.h"
#include "cuda/shared_memory.h"
#include "math/normal_equations.h"

namespace cineflow {
namespace {

constexpr int kThreads = 128;
constexpr int kEquationPlanes = 5;
constexpr int kSharedColumns = kThreads + 2 * kMaxWindowReach;

/// Planes of the workspace, [N, h, w] each.
enum Plane : int {
  kEquations = 0,
  kVariance = kEquations + kEquationPlanes,
  kUnexplained,
  kPrior,
  kWeight,
  kInverse,
  kFlow = kInverse + 3,
  kNextFlow = kFlow + 2,
  kAlong = kNextFlow + 2,  // sums along x
  kAlongNext = kAlong + kEquationPlanes,
  kUsedPlanes = kAlongNext + 2,
};
static_assert(kUsedPlanes <= kStepPlanes);

struct Step {
  LucasKanadeStepArgs args;
  GaussianWindow window;
  int height, width;   // cells
  std::int64_t plane;  // floats of a plane of the workspace
  std::int64_t rows;   // of the whole batch

  __device__ float* row(int which, std::int64_t index) const {
    return static_cast<float*>(args.workspace) + which * plane + index * width;
  }

  __device__ NormalEquations<float> equations(std::int64_t index, int x) const {
    return {row(kEquations, index)[x], row(kEquations + 1, index)[x], row(kEquations + 2, index)[x],
            row(kEquations + 3, index)[x], row(kEquations + 4, index)[x]};
  }

  __device__ void write(std::int64_t index, int x, const FlowVector<float>& flow) const {
    const TensorView& out = args.out;
    float* to = static_cast<float*>(out.data) + index / height * out.strides[0] +
                index % height * out.strides[2] + x * out.strides[3];
    to[0] = flow.x;
    to[out.strides[1]] = flow.y;
  }

  /// Sums along y of the planes from `which` on, at column `x` of row `index` of the batch.
  template <int kPlanes>
  __device__ void sum_down(int which, std::int64_t index, int x, float (&sums)[kPlanes]) const {
    const auto y = static_cast<int>(index % height);
    const int first = y > window.reach ? -window.reach : -y;
    const int last = height - 1 - y < window.reach ? height - 1 - y : window.reach;
    for (int plane_at = 0; plane_at < kPlanes; ++plane_at) sums[plane_at] = 0.0f;
    for (int shift = first; shift <= last; ++shift) {
      const float tap = window.taps[shift + window.reach];
#pragma unroll
      for (int plane_at = 0; plane_at < kPlanes; ++plane_at) {
        sums[plane_at] += tap * row(which + plane_at, index + shift)[x];
      }
    }
  }

  /// Sums along x of planes in shared memory, to the planes from `which` on.
  template <int kPlanes>
  __device__ void sum_along(int which, std::int64_t index, int x) const {
    if (x >= width) return;
    const auto* shared = reinterpret_cast<const float*>(shared_memory) + threadIdx.x;
    float sums[kPlanes] = {};
    for (int at = 0; at < window.count(); ++at) {
#pragma unroll
      for (int plane_at = 0; plane_at < kPlanes; ++plane_at) {
        sums[plane_at] += window.taps[at] * shared[plane_at * kSharedColumns + at];
      }
    }
#pragma unroll
    for (int plane_at = 0; plane_at < kPlanes; ++plane_at) {
      row(which + plane_at, index)[x] = sums[plane_at];
    }
  }
};

/// Calls `body(index, x, slot, own)` for the cells of the block's part of each row and those that
/// the window reaches around it, inside the image or not; `slot` is the place in shared memory,
/// and `own` whether the cell is the block's. Then calls `after(index, x)` once per thread.
template <typename Body, typename After>
__device__ void for_each_part(const Step& step, const Body& body, const After& after) {
  const int begin = static_cast<int>(blockIdx.x) * kThreads;
  const int columns = kThreads + 2 * step.window.reach;
  for (std::int64_t index = blockIdx.y; index < step.rows; index += gridDim.y) {
    __syncthreads();  // the row before this one has been summed
    for (int slot = static_cast<int>(threadIdx.x); slot < columns; slot += kThreads) {
      const int x = begin + slot - step.window.reach;
      const bool own = slot >= step.window.reach && slot < kThreads + step.window.reach;
      body(index, x, slot, own && x < step.width);
    }
    __syncthreads();
    after(index, begin + static_cast<int>(threadIdx.x));
  }
}

__device__ int clamped(int value, int size) {
  return value < 0 ? 0 : value < size ? value : size - 1;
}

/// The sums of each cell.
__global__ void __launch_bounds__(kThreads) gather_cells(Step step) {
  const LucasKanadeStepArgs& args = step.args;
  const int x = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (x >= step.width) return;
  const int cell = args.cell;
  const int height = step.height * cell;
  const int width = step.width * cell;
  for (std::int64_t index = blockIdx.y; index < step.rows; index += gridDim.y) {
    const std::int64_t image = index / step.height;
    const auto y = static_cast<int>(index % step.height);
    const auto* previous =
        static_cast<const float*>(args.previous.data) + image * args.previous.strides[0];
    const auto* current =
        static_cast<const float*>(args.current.data) + image * args.current.strides[0];
    const auto at = [](const TensorView& view, const float* pixels, int row, int column) {
      return pixels[row * view.strides[2] + column * view.strides[3]];
    };
    const auto mean = [&](int row, int column) {
      const int inside_row = clamped(row, height);
      const int inside_column = clamped(column, width);
      return 0.5f * (at(args.previous, previous, inside_row, inside_column) +
                     at(args.current, current, inside_row, inside_column));
    };
    NormalEquations<float> sums{};
    float variance = 0.0f;
    for (int column = x * cell; column < (x + 1) * cell; ++column) {
      int row = y * cell;
      float left_above = mean(row - 1, column - 1), above = mean(row - 1, column),
            right_above = mean(row - 1, column + 1);
      float left = mean(row, column - 1), here = mean(row, column), right = mean(row, column + 1);
      for (; row < (y + 1) * cell; ++row) {
        const float left_below = mean(row + 1, column - 1), below = mean(row + 1, column),
                    right_below = mean(row + 1, column + 1);
        const float across = 0.25f * (right - left) +
                             0.125f * ((right_above - left_above) + (right_below - left_below));
        const float down = 0.25f * (below - above) +
                           0.125f * ((left_below - left_above) + (right_below - right_above));
        const float change =
            at(args.previous, previous, row, column) - at(args.current, current, row, column);
        sums.xx += across * across;
        sums.xy += across * down;
        sums.yy += down * down;
        sums.xt += across * change;
        sums.yt += down * change;
        variance += change * change;
        left_above = left, above = here, right_above = right;
        left = left_below, here = below, right = right_below;
      }
    }
    const float share = 1.0f / static_cast<float>(cell * cell);
    const bool counts = share * sums.xx + share * sums.yy + share * variance <= kLargestVariance;
    const float factor = counts ? share : 0.0f;
    const float planes[kEquationPlanes] = {sums.xx, sums.xy, sums.yy, sums.xt, sums.yt};
#pragma unroll
    for (int plane = 0; plane < kEquationPlanes; ++plane) {
      step.row(kEquations + plane, index)[x] = counts ? factor * planes[plane] : 0.0f;
    }
    step.row(kVariance, index)[x] = counts ? factor * variance : 0.0f;
    const float mask = static_cast<const float*>(
        args.mask.data)[image * args.mask.strides[0] + y * args.mask.strides[2] +
                        x * args.mask.strides[3]];
    const float positive = counts && mask > 0.0f ? mask : 0.0f;
    step.row(kPrior, index)[x] = positive < 1.0f ? positive : 1.0f;
  }
}

/// The weights from `variance`, and the weighted equations along x.
__global__ void __launch_bounds__(kThreads) weigh_cells(Step step, int variance) {
  auto* shared = reinterpret_cast<float*>(shared_memory);
  for_each_part(
      step,
      [&](std::int64_t index, int x, int slot, bool own) {
        float weight = 0.0f;
        NormalEquations<float> cell{};
        if (x >= 0 && x < step.width) {
          const auto y = static_cast<int>(index % step.height);
          float around = 0.0f;
          for (int down = -kAroundReach; down <= kAroundReach; ++down) {
            const float* row = step.row(variance, index - y + clamped(y + down, step.height));
            float along = 0.0f;
            for (int across = -kAroundReach; across <= kAroundReach; ++across) {
              along += kAroundShare * row[clamped(x + across, step.width)];
            }
            around += along;
          }
          weight = weight_of(step.row(kPrior, index)[x], kAroundShare * around, step.args.trust);
          cell = step.equations(index, x);
        }
        if (own) step.row(kWeight, index)[x] = weight;
        shared[slot] = weight * cell.xx;
        shared[kSharedColumns + slot] = weight * cell.xy;
        shared[2 * kSharedColumns + slot] = weight * cell.yy;
        shared[3 * kSharedColumns + slot] = weight * cell.xt;
        shared[4 * kSharedColumns + slot] = weight * cell.yt;
      },
      [&](std::int64_t index, int x) { step.sum_along<kEquationPlanes>(kAlong, index, x); });
}

/// The windowed equations of a cell, and their solution.
__device__ InverseMatrix<float> solved(const Step& step, std::int64_t index, int x,
                                       FlowVector<float>* flow) {
  float sums[kEquationPlanes];
  step.sum_down(kAlong, index, x, sums);
  const NormalEquations<float> window{sums[0], sums[1], sums[2], sums[3], sums[4]};
  const InverseMatrix<float> inverse = inverse_of(window, step.args.ridge);
  *flow = product_of(inverse, window.xt, window.yt);
  return inverse;
}

/// The first solution: the result where there are no refinements, else what it leaves unexplained.
__global__ void __launch_bounds__(kThreads) solve_cells(Step step) {
  const int x = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (x >= step.width) return;
  for (std::int64_t index = blockIdx.y; index < step.rows; index += gridDim.y) {
    FlowVector<float> flow;
    solved(step, index, x, &flow);
    if (step.args.refinements == 0) {
      step.write(index, x, flow);
    } else {
      step.row(kUnexplained, index)[x] =
          unexplained_of(step.equations(index, x), step.row(kVariance, index)[x], flow);
    }
  }
}

/// Puts what the flow of a cell leaves into shared memory.
__device__ void leave(const Step& step, std::int64_t index, int x, int slot,
                      const FlowVector<float>& flow) {
  auto* shared = reinterpret_cast<float*>(shared_memory);
  const FlowVector<float> rest =
      rest_of(step.equations(index, x), flow, step.row(kWeight, index)[x]);
  shared[slot] = rest.x;
  shared[kSharedColumns + slot] = rest.y;
}

__device__ void leave_nothing(int slot) {
  auto* shared = reinterpret_cast<float*>(shared_memory);
  shared[slot] = 0.0f;
  shared[kSharedColumns + slot] = 0.0f;
}

/// The second solution, and what it leaves along x.
__global__ void __launch_bounds__(kThreads) solve_again(Step step) {
  for_each_part(
      step,
      [&](std::int64_t index, int x, int slot, bool own) {
        if (x < 0 || x >= step.width) return leave_nothing(slot);
        FlowVector<float> flow;
        const InverseMatrix<float> inverse = solved(step, index, x, &flow);
        if (own) {
          step.row(kInverse, index)[x] = inverse.xx;
          step.row(kInverse + 1, index)[x] = inverse.xy;
          step.row(kInverse + 2, index)[x] = inverse.yy;
          step.row(kFlow, index)[x] = flow.x;
          step.row(kFlow + 1, index)[x] = flow.y;
        }
        leave(step, index, x, slot, flow);
      },
      [&](std::int64_t index, int x) { step.sum_along<2>(kAlongNext, index, x); });
}

/// One refinement: from one set of planes to the other, or to the result.
__global__ void __launch_bounds__(kThreads)
    refine_cells(Step step, int flow_from, int flow_to, int along_from, int along_to, bool last) {
  for_each_part(
      step,
      [&](std::int64_t index, int x, int slot, bool own) {
        if (x < 0 || x >= step.width) return leave_nothing(slot);
        if (last && !own) return;
        float sums[2];
        step.sum_down(along_from, index, x, sums);
        const InverseMatrix<float> inverse{step.row(kInverse, index)[x],
                                           step.row(kInverse + 1, index)[x],
                                           step.row(kInverse + 2, index)[x]};
        const FlowVector<float> more = product_of(inverse, sums[0], sums[1]);
        const FlowVector<float> flow{step.row(flow_from, index)[x] + more.x,
                                     step.row(flow_from + 1, index)[x] + more.y};
        if (last) return step.write(index, x, flow);
        if (own) {
          step.row(flow_to, index)[x] = flow.x;
          step.row(flow_to + 1, index)[x] = flow.y;
        }
        leave(step, index, x, slot, flow);
      },
      [&](std::int64_t index, int x) {
        if (!last) step.sum_along<2>(along_to, index, x);
      });
}

}  // namespace

Status lucas_kanade_step_cuda(const LucasKanadeStepArgs& args, void* stream) noexcept {
  Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  if (args.workspace == nullptr) {
    return failure(Status::Code::kArgument, "a workspace on the device", "none");
  }
  const TensorView& out = args.out;
  Step step{args,
            gaussian_window(args.sigma),
            static_cast<int>(out.sizes[2]),
            static_cast<int>(out.sizes[3]),
            out.sizes[0] * out.sizes[2] * out.sizes[3],
            out.sizes[0] * out.sizes[2]};
  Grid grid;
  grid.threads = dim3(kThreads);
  grid.blocks = dim3(static_cast<unsigned>(ceil_div(out.sizes[3], kThreads)), grid_y(step.rows));
  Grid shared = grid;
  shared.shared_bytes = kEquationPlanes * kSharedColumns * sizeof(float);
  Grid shared_pair = grid;
  shared_pair.shared_bytes = 2 * kSharedColumns * sizeof(float);
  const int device = out.device_index;
  const auto run = [&](const Grid& how, auto kernel, const auto&... more) {
    if (status.ok())
      status = launch("lucas_kanade_step", how, device, stream, kernel, step, more...);
  };

  run(grid, gather_cells);
  run(shared, weigh_cells, static_cast<int>(kVariance));
  run(grid, solve_cells);
  if (args.refinements == 0) return status;
  run(shared, weigh_cells, static_cast<int>(kUnexplained));
  run(shared_pair, solve_again);
  int flow[] = {kFlow, kNextFlow};
  int along[] = {kAlongNext, kAlong};
  for (int left = args.refinements; left > 0; --left) {
    run(shared_pair, refine_cells, flow[0], flow[1], along[0], along[1], left == 1);
    std::swap(flow[0], flow[1]);
    std::swap(along[0], along[1]);
  }
  return status;
}

}  // namespace cineflow
