// One level of dense Lucas-Kanade on the CPU.
//
// Problem: the sums of the normal equations are a dozen planes, each of which is read and written
// several times. As operations on whole images, the time goes into memory and into starting them.
//
// Solution: the images are read once, and a row of cells is a task. All further steps are on the
// grid of cells, which fits into the cache. A window is separable: a task ends with the sums along
// its own row, and the next step adds up the rows around. So each step needs one barrier:
//
//   gather           the sums of the cells, and the variance along x
//   weigh            weights, and the weighted equations along x
//   solve            the equations along y, the flow, and what it leaves unexplained along x
//   weigh, solve     again, where there are refinements; then the targets that are left along x
//   refine           these along y, and the flow that they add
#include "cineflow/lucas_kanade_step.h"

#include <algorithm>
#include <cstring>

#include "cpu/chunks.h"
#include "cpu/kernel_table.h"
#include "cpu/packing.h"
#include "cpu/views.h"
#include "cpu/workspace.h"
#include "math/normal_equations.h"

namespace cineflow {
namespace {

constexpr std::int64_t kVector = 16;

std::int64_t whole_vectors(std::int64_t floats) {
  return (floats + kVector - 1) / kVector * kVector;
}

/// Planes of the grid in the workspace.
enum Plane : int {
  kEquations = 0,
  kVariance = kEquations + kEquationPlanes,
  kPrior,
  kAround,
  kWeight,
  kInverse,
  kFlow = kInverse + 3,
  kAlong = kFlow + 2,                     // sums along x, 5 planes
  kAlongNext = kAlong + kEquationPlanes,  // 2 planes; the refinements take turns with kAlong
  kPlanes = kAlongNext + 2,
};

/// Sizes that follow from the arguments.
struct Geometry {
  explicit Geometry(const LucasKanadeStepArgs& args)
      : height(args.out.sizes[2]),
        width(args.out.sizes[3]),
        pitch(whole_vectors(width)),
        plane(height * pitch),
        pixels(width * args.cell),
        pixel_pitch(channel_spacing(pixels + 2 + 2 * kVector)),
        padded_pitch(channel_spacing(pitch + 2 * kMaxWindowReach)) {}

  /// Of one thread: the pixels of a row of cells, their sums by column, rows with their margins,
  /// and windowed rows.
  std::int64_t scratch_floats(int cell) const {
    return (2 * cell + 4) * pixel_pitch + 6 * pixel_pitch +
           kEquationPlanes * (padded_pitch + pitch);
  }

  std::int64_t height, width;  // cells
  std::int64_t pitch;          // floats of a row of cells
  std::int64_t plane;          // floats of a plane of cells
  std::int64_t pixels;         // of a row of the images
  std::int64_t pixel_pitch;    // floats of a row of pixels, with its margins
  std::int64_t padded_pitch;   // floats of a row of cells with the margins of the window
};

/// One image of the batch.
struct Item {
  const LucasKanadeStepArgs& args;
  const Geometry& size;
  const GaussianWindow& window;
  std::int64_t image;
  float* planes;

  float* row(int plane, std::int64_t y) const {
    return planes + plane * size.plane + y * size.pitch;
  }

  /// A CellRow with what every kernel reads of row `y`.
  CellRow cells(std::int64_t y) const {
    CellRow row_of{};
    for (int plane = 0; plane < kEquationPlanes; ++plane) {
      row_of.equations[plane] = row(kEquations + plane, y);
    }
    row_of.variance = row(kVariance, y);
    row_of.prior = row(kPrior, y);
    row_of.weight = row(kWeight, y);
    for (int at = 0; at < 3; ++at) row_of.inverse[at] = row(kInverse + at, y);
    for (int at = 0; at < 2; ++at) row_of.flow[at] = row(kFlow + at, y);
    row_of.trust = args.trust;
    row_of.ridge = args.ridge;
    row_of.cells = size.pitch;
    return row_of;
  }
};

/// One thread's share of the rows of a step.
class BandWorker {
 public:
  BandWorker(const Item& item, float* scratch)
      : item_(item),
        size_(item.size),
        mean_(scratch),
        change_(mean_ + (item.args.cell + 2) * size_.pixel_pitch),
        strided_(change_ + item.args.cell * size_.pixel_pitch),
        columns_(strided_ + 2 * size_.pixel_pitch),
        padded_(columns_ + 6 * size_.pixel_pitch),
        sums_(padded_ + kEquationPlanes * size_.padded_pitch) {}

  void gather(std::int64_t y) {
    const int cell = item_.args.cell;
    const std::int64_t height = size_.height * cell;
    for (int at = 0; at < cell + 2; ++at) {
      const std::int64_t from = std::clamp<std::int64_t>(y * cell + at - 1, 0, height - 1);
      PixelPair pair{};
      pair.previous = pixels(item_.args.previous, from, strided_);
      pair.current = pixels(item_.args.current, from, strided_ + size_.pixel_pitch);
      pair.count = size_.pixels;
      pair.mean = mean_ + at * size_.pixel_pitch + kVector - 1;
      const bool own = at >= 1 && at <= cell;
      pair.change = own ? change_ + (at - 1) * size_.pixel_pitch + kVector : nullptr;
      kernels().pair_pixels(pair);
    }
    CellGather task{};
    task.mean = mean_ + kVector;
    task.change = change_ + kVector;
    task.pitch = size_.pixel_pitch;
    task.cell = cell;
    task.pixels = size_.pixels;
    task.mask = row_of(item_.args.mask, y, size_.width, sums_);
    task.columns = columns_;
    task.cells = size_.width;
    task.padded_cells = size_.pitch;
    for (int plane = 0; plane < kEquationPlanes; ++plane) {
      task.equations[plane] = item_.row(kEquations + plane, y);
    }
    task.variance = item_.row(kVariance, y);
    task.prior = item_.row(kPrior, y);
    kernels().gather_cells(task);
    std::memcpy(padded_ + kMaxWindowReach, task.variance, sizeof(float) * size_.pitch);
    average_along(y);
  }

  /// The weights, and the weighted equations along x.
  void weigh(std::int64_t y) {
    CellRow row = item_.cells(y);
    for (int at = 0; at < 5; ++at) {
      const std::int64_t from =
          std::clamp<std::int64_t>(y + at - kAroundReach, 0, size_.height - 1);
      row.around[at] = item_.row(kAround, from);
    }
    row.weighted = padded_ + kMaxWindowReach;
    row.plane = size_.padded_pitch;
    kernels().weigh_cells(row);
    window_along(kEquationPlanes, item_.row(kAlong, y));
  }

  /// The flow of the windowed equations. The last solution becomes the result, or is refined.
  void solve(std::int64_t y, bool last, int refinements) {
    CellRow row = item_.cells(y);
    window_down(kEquationPlanes, kAlong, y);
    row.sums = sums_;
    row.plane = size_.pitch;
    kernels().solve_cells(row);
    if (!last) {
      row.unexplained = padded_ + kMaxWindowReach;
      kernels().explain_cells(row);
      average_along(y);
    } else if (refinements > 0) {
      leave(y, kAlongNext);
    } else {
      write(y);
    }
  }

  void refine(std::int64_t y, int from, int to, bool last) {
    CellRow row = item_.cells(y);
    window_down(2, from, y);
    row.sums = sums_;
    row.plane = size_.pitch;
    kernels().refine_cells(row);
    if (last) {
      write(y);
    } else {
      leave(y, to);
    }
  }

 private:
  /// `count` values along x of a row of a view with one channel, in `scratch` where the row is not
  /// contiguous.
  const float* row_of(const TensorView& view, std::int64_t y, std::int64_t count,
                      float* scratch) const {
    const float* from = floats_at(view, item_.image * view.strides[0] + y * view.strides[2]);
    if (view.strides[3] == 1) return from;
    copy_values(from, view.strides[3], count, scratch);
    return scratch;
  }

  const float* pixels(const TensorView& view, std::int64_t y, float* scratch) const {
    return row_of(view, y, size_.pixels, scratch);
  }

  /// The variance in padded_ along x, with the border's cells repeated outside.
  void average_along(std::int64_t y) {
    constexpr float kTaps[] = {kAroundShare, kAroundShare, kAroundShare, kAroundShare,
                               kAroundShare};
    float* cells = padded_ + kMaxWindowReach;
    for (int at = 1; at <= kAroundReach; ++at) {
      cells[-at] = cells[0];
      cells[size_.width - 1 + at] = cells[size_.width - 1];
    }
    WindowSum task{};
    task.from = cells - kAroundReach;
    task.step = 1;
    task.taps = kTaps;
    task.count = 2 * kAroundReach + 1;
    task.to = item_.row(kAround, y);
    task.planes = 1;
    task.cells = size_.pitch;
    kernels().sum_window(task);
  }

  /// The planes in padded_ along x, to rows of planes of the grid.
  void window_along(int planes, float* to) {
    for (int plane = 0; plane < planes; ++plane) {
      float* cells = padded_ + plane * size_.padded_pitch;
      std::memset(cells, 0, sizeof(float) * kMaxWindowReach);
      std::memset(cells + kMaxWindowReach + size_.pitch, 0, sizeof(float) * kMaxWindowReach);
    }
    WindowSum task{};
    task.from = padded_ + kMaxWindowReach - item_.window.reach;
    task.from_plane = size_.padded_pitch;
    task.step = 1;
    task.taps = item_.window.taps;
    task.count = item_.window.count();
    task.to = to;
    task.to_plane = size_.plane;
    task.planes = planes;
    task.cells = size_.pitch;
    kernels().sum_window(task);
  }

  /// Planes of the grid along y, at row `y`, to sums_.
  void window_down(int planes, int from, std::int64_t y) {
    const int reach = item_.window.reach;
    const std::int64_t first = std::max<std::int64_t>(0, y - reach);
    const std::int64_t last = std::min(size_.height - 1, y + reach);
    WindowSum task{};
    task.from = item_.row(from, first);
    task.from_plane = size_.plane;
    task.step = size_.pitch;
    task.taps = item_.window.taps + (first - (y - reach));
    task.count = static_cast<int>(last - first + 1);
    task.to = sums_;
    task.to_plane = size_.pitch;
    task.planes = planes;
    task.cells = size_.pitch;
    kernels().sum_window(task);
  }

  /// The weighted targets that the flow leaves, along x.
  void leave(std::int64_t y, int to) {
    CellRow row = item_.cells(y);
    row.weighted = padded_ + kMaxWindowReach;
    row.plane = size_.padded_pitch;
    kernels().leave_cells(row);
    window_along(2, item_.row(to, y));
  }

  void write(std::int64_t y) const {
    const TensorView& out = item_.args.out;
    for (int axis = 0; axis < 2; ++axis) {
      const float* from = item_.row(kFlow + axis, y);
      float* to = static_cast<float*>(
          at(out, item_.image * out.strides[0] + axis * out.strides[1] + y * out.strides[2]));
      for (std::int64_t x = 0; x < size_.width; ++x) to[x * out.strides[3]] = from[x];
    }
  }

  const Item& item_;
  const Geometry& size_;
  float* mean_;     // [cell + 2][pixel_pitch]
  float* change_;   // [cell][pixel_pitch]
  float* strided_;  // [2][pixel_pitch], rows of the images that are not contiguous
  float* columns_;  // [6][pixel_pitch]
  float* padded_;   // [5][padded_pitch]
  float* sums_;     // [5][pitch]
};

/// Whether the sizes of `Geometry` are safe to compute, for arguments that nothing has checked yet.
bool has_geometry(const LucasKanadeStepArgs& args) {
  const auto& sizes = args.out.sizes;
  return args.out.rank == kImageRank && args.cell >= 1 && args.cell <= kMaxCell && sizes[0] > 0 &&
         sizes[2] > 0 && sizes[3] > 0 && sizes[2] < kSideLimit && sizes[3] < kSideLimit &&
         sizes[2] * sizes[3] < kPlaneLimit;
}

}  // namespace

std::int64_t lucas_kanade_step_workspace(const LucasKanadeStepArgs& args, int threads) noexcept {
  if (!has_geometry(args)) return 0;
  const Geometry size(args);
  return (kPlanes * size.plane + threads * size.scratch_floats(args.cell)) *
         static_cast<std::int64_t>(sizeof(float));
}

std::int64_t lucas_kanade_step_cuda_workspace(const LucasKanadeStepArgs& args) noexcept {
  if (!has_geometry(args)) return 0;
  return kStepPlanes * args.out.sizes[0] * args.out.sizes[2] * args.out.sizes[3] *
         static_cast<std::int64_t>(sizeof(float));
}

Status lucas_kanade_step_cpu(const LucasKanadeStepArgs& args, const Executor& executor) noexcept {
  Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  status = check_workspace(args.workspace);
  if (!status.ok()) return status;
  const Geometry size(args);
  const GaussianWindow window = gaussian_window(args.sigma);
  auto* planes = static_cast<float*>(args.workspace);
  float* scratch = planes + kPlanes * size.plane;
  const std::int64_t most = executor.width();
  // What lies behind the pixels and cells of a row is read, but never used.
  std::memset(scratch, 0, sizeof(float) * most * size.scratch_floats(args.cell));

  for (std::int64_t image = 0; image < args.out.sizes[0]; ++image) {
    const Item item{args, size, window, image, planes};
    const auto for_each_row = [&](std::int64_t row_cost, const auto& step) {
      const std::int64_t bands = band_count(size.height, row_cost, executor);
      for_each_chunk(size.height, bands, least_rows(row_cost), executor,
                     [&](std::int64_t band, Chunks& chunks) {
                       BandWorker worker(item, scratch + band * size.scratch_floats(args.cell));
                       while (chunks.take()) {
                         for (std::int64_t y = chunks.first(); y < chunks.last(); ++y) {
                           step(worker, y);
                         }
                       }
                     });
    };
    // Sums of windows, in elements: a vector of them is about a turn of the loop over pixels.
    const std::int64_t window_cost = size.pitch * window.count() / 4;
    const bool again = args.refinements > 0;
    for_each_row(size.pixels * args.cell,
                 [](BandWorker& worker, std::int64_t y) { worker.gather(y); });
    for (int solution = 0; solution < (again ? 2 : 1); ++solution) {
      const bool last = solution == 1 || !again;
      for_each_row(kEquationPlanes * window_cost,
                   [](BandWorker& worker, std::int64_t y) { worker.weigh(y); });
      for_each_row(kEquationPlanes * window_cost, [&](BandWorker& worker, std::int64_t y) {
        worker.solve(y, last, args.refinements);
      });
    }
    int from = kAlongNext, to = kAlong;
    for (int left = args.refinements; left > 0; --left) {
      for_each_row(4 * window_cost, [&](BandWorker& worker, std::int64_t y) {
        worker.refine(y, from, to, left == 1);
      });
      std::swap(from, to);
    }
  }
  return status;
}

}  // namespace cineflow
