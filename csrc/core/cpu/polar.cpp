#include "cineflow/polar.h"

#include <cmath>
#include <cstring>

#include "cpu/bands.h"
#include "cpu/runs.h"
#include "math/polar.h"

namespace cineflow {
namespace {

/// The stride from each of the N x C planes to the next, or 0 where they have no common stride.
std::int64_t plane_stride(const TensorView& view) {
  if (view.sizes[1] == 1) return view.strides[0];
  return view.strides[0] == view.sizes[1] * view.strides[1] ? view.strides[1] : 0;
}

/// Whether the first centre is two floats on the CPU, for arguments that nothing has checked yet.
bool has_readable_centre(const PolarArgs& args) {
  const TensorView& centre = args.centre;
  return centre.device == Device::kCpu && centre.dtype == DType::kF32 && centre.rank == 2 &&
         centre.sizes[0] > 0 && centre.sizes[1] == 2;
}

bool has_one_centre(const PolarArgs& args) {
  return args.src.sizes[0] == 1 || args.centre.sizes[0] == 1;
}

Centre centre_of(const PolarArgs& args, std::int64_t image) {
  const TensorView& centre = args.centre;
  const float* first = floats_at(centre, centre.sizes[0] == 1 ? 0 : image * centre.strides[0]);
  return {first[0], first[centre.strides[1]]};
}

/// Directions of the rays. Each one is an anchor ray, every 16th, turned by a small angle: a
/// complex product costs less than a sine, and its bits do not depend on which rays were computed
/// before.
class Rays {
 public:
  Rays(double first_angle, double angle_step) : first_(first_angle), step_(angle_step) {}

  struct Direction {
    double across, down;
  };

  Direction of(std::int64_t row) {
    if (anchor_row_ < 0) {  // not in the constructor: a call that has a plan needs no ray
      for (int index = 0; index < kAnchorEvery; ++index) turns_[index] = direction(index * step_);
    }
    const std::int64_t anchor = row - row % kAnchorEvery;
    if (anchor != anchor_row_) {
      anchor_row_ = anchor;
      anchor_ = direction(first_ + static_cast<double>(anchor) * step_);
    }
    const Direction turn = turns_[row - anchor];
    return {anchor_.across * turn.across - anchor_.down * turn.down,
            anchor_.down * turn.across + anchor_.across * turn.down};
  }

 private:
  static constexpr int kAnchorEvery = 16;
  static Direction direction(double angle) { return {std::cos(angle), std::sin(angle)}; }

  double first_, step_;
  Direction turns_[kAnchorEvery];
  Direction anchor_{};
  std::int64_t anchor_row_ = -1;
};

/// How an image is split into runs: whole rows, or parts of one row. The split is the same for any
/// number of threads, so that each run has fixed blocks in a plan.
class RunLayout {
 public:
  explicit RunLayout(const TensorView& out)
      : height_(out.sizes[2]),
        width_(out.sizes[3]),
        rows_(rows_per_run(out)),
        parts_((width_ + kMaxRun - 1) / kMaxRun),
        count_((height_ + rows_ - 1) / rows_ * parts_) {}

  struct Part {
    std::int64_t row, rows, column;
    int columns;
  };

  std::int64_t count() const { return count_; }

  Part at(std::int64_t index) const {
    const std::int64_t row = index / parts_ * rows_;
    const std::int64_t column = index % parts_ * kMaxRun;
    return {row, std::min(rows_, height_ - row), column,
            static_cast<int>(std::min<std::int64_t>(kMaxRun, width_ - column))};
  }

  /// Samples of each run in a plan, where runs follow one another.
  std::int64_t samples() const {
    const std::int64_t count = rows_ * std::min<std::int64_t>(kMaxRun, width_);
    return (count + kBlockSamples - 1) / kBlockSamples * kBlockSamples;
  }

 private:
  std::int64_t height_, width_;
  std::int64_t rows_;   // in a run
  std::int64_t parts_;  // of a row
  std::int64_t count_;
};

/// The run of one part of an image, or of that part in all images where they share their positions.
SampleRun make_polar_run(const PolarArgs& args, std::int64_t image, const RunLayout::Part& part,
                         bool shared, bool wraps) noexcept {
  const TensorView& out = args.out;
  SampleRun run =
      make_run(args.src, image, args.border, out,
               image * out.strides[0] + part.row * out.strides[2] + part.column * out.strides[3],
               static_cast<int>(part.rows) * part.columns);
  run.wraps = wraps;
  run.scale = args.scale;
  run.bias = args.offset;
  if (shared && args.src.sizes[0] > 1) {
    run.channels = args.src.sizes[0] * args.src.sizes[1];
    run.channel_stride = plane_stride(args.src);
    run.out_channel_stride = plane_stride(out);
  }
  return run;
}

/// Most bytes of an image that is prefetched while the one before is sampled: both stay in the L2
/// cache.
constexpr std::int64_t kLargestPrefetch = std::int64_t{512} << 10;

/// Prefetches rows [first, last) of an image whose pixels are dense. Always inlined: GCC removes
/// calls of a function that only prefetches.
__attribute__((always_inline)) inline void prefetch_rows(const TensorView& src, std::int64_t image,
                                                         std::int64_t first,
                                                         std::int64_t last) noexcept {
  constexpr std::int64_t kLine = 64;
  const std::int64_t channels = src.sizes[1];
  const std::int64_t item = item_size(src.dtype);
  const bool channels_last = channels > 1 && src.strides[1] == 1 && src.strides[3] == channels;
  if (!channels_last && src.strides[3] != 1) return;
  if (channels * src.sizes[2] * src.sizes[3] * item > kLargestPrefetch) return;
  const std::int64_t row_bytes = src.sizes[3] * src.strides[3] * item;
  for (std::int64_t plane = 0; plane < (channels_last ? 1 : channels); ++plane) {
    for (std::int64_t row = first; row < last; ++row) {
      const auto* from = static_cast<const char*>(
          at(src, image * src.strides[0] + plane * src.strides[1] + row * src.strides[2]));
      for (std::int64_t byte = 0; byte < row_bytes; byte += kLine) {
        __builtin_prefetch(from + byte, 0, 2);
      }
    }
  }
}

/// Positions of a part. `fill(centre, row, first, count, x, y)` computes them for one row of it;
/// each band has a copy of `fill`, which may keep a state.
template <typename Fill>
void fill_positions(Fill& fill, const Centre& centre, const RunLayout::Part& part,
                    PositionScratch& scratch) {
  for (std::int64_t index = 0; index < part.rows; ++index) {
    fill(centre, part.row + index, part.column, part.columns, scratch.x + index * part.columns,
         scratch.y + index * part.columns);
  }
}

template <typename Fill>
void make_plan(const PolarArgs& args, bool wraps, const RunLayout& layout, const SampleBlocks& plan,
               const Executor& executor, const Fill& fill) noexcept {
  const std::int64_t bands = band_count(layout.count(), layout.samples(), executor);
  for_each_band(layout.count(), bands, executor,
                [&](std::int64_t, std::int64_t first, std::int64_t last) {
                  Fill fill_here = fill;
                  PositionScratch scratch;
                  for (std::int64_t index = first; index < last; ++index) {
                    const RunLayout::Part part = layout.at(index);
                    fill_positions(fill_here, centre_of(args, 0), part, scratch);
                    kernels().locate_samples(make_polar_run(args, 0, part, false, wraps),
                                             SamplePositions{scratch.x, scratch.y},
                                             plan.from(index * layout.samples()));
                  }
                });
}

/// Samples one image after another, so that each stays in the L2 cache while it is sampled. The
/// next image is prefetched meanwhile, since no processor predicts the access pattern of rays.
void follow_plan(const PolarArgs& args, bool wraps, const RunLayout& layout,
                 const SampleBlocks& plan, const Executor& executor) noexcept {
  const std::int64_t images = args.src.sizes[0];
  const std::int64_t tasks = images * layout.count();
  const std::int64_t bands = band_count(tasks, args.out.elements() / tasks, executor);
  for_each_band(tasks, bands, executor, [&](std::int64_t, std::int64_t first, std::int64_t last) {
    for (std::int64_t task = first; task < last; ++task) {
      const std::int64_t image = task / layout.count();
      const std::int64_t index = task % layout.count();
      if (task + layout.count() < last) {
        const std::int64_t rows = args.src.sizes[2];
        prefetch_rows(args.src, image + 1, rows * index / layout.count(),
                      rows * (index + 1) / layout.count());
      }
      kernels().sample_located(make_polar_run(args, image, layout.at(index), false, wraps),
                               plan.from(index * layout.samples()));
    }
  });
}

template <typename Fill>
void resample(const PolarArgs& args, bool wraps, const Executor& executor,
              const Fill& fill) noexcept {
  const RunLayout layout(args.out);
  if (args.plan.memory != nullptr) {
    const SampleBlocks plan = sample_blocks_in(args.plan.memory, layout.count() * layout.samples());
    if (!args.plan.made) make_plan(args, wraps, layout, plan, executor, fill);
    return follow_plan(args, wraps, layout, plan, executor);
  }
  const bool shared =
      has_one_centre(args) &&
      (args.src.sizes[0] == 1 || (plane_stride(args.src) != 0 && plane_stride(args.out) != 0));
  const std::int64_t tasks = layout.count() * (shared ? 1 : args.out.sizes[0]);
  const std::int64_t bands = band_count(tasks, args.out.elements() / tasks, executor);
  for_each_band(tasks, bands, executor, [&](std::int64_t, std::int64_t first, std::int64_t last) {
    Fill fill_here = fill;
    PositionScratch scratch;
    for (std::int64_t task = first; task < last; ++task) {
      const std::int64_t image = shared ? 0 : task / layout.count();
      const RunLayout::Part part = layout.at(task % layout.count());
      fill_positions(fill_here, centre_of(args, image), part, scratch);
      sample_run(make_polar_run(args, image, part, shared, wraps), {scratch.x, scratch.y});
    }
  });
}

std::int64_t bits_of(double value) {
  std::int64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

/// Most bytes of a plan. A plan much larger than the L2 cache takes longer to read than to make.
constexpr std::int64_t kLargestPlan = std::int64_t{2} << 20;

}  // namespace

PolarPlanKey polar_plan_key(const PolarArgs& args) noexcept {
  const TensorView& src = args.src;
  const TensorView& out = args.out;
  const Centre centre = centre_of(args, 0);
  return {src.sizes[2],
          src.sizes[3],
          src.strides[2],
          src.strides[3],
          out.sizes[2],
          out.sizes[3],
          rows_are_dense(out),
          bits_of(centre.x),
          bits_of(centre.y),
          bits_of(args.first_angle),
          bits_of(args.angle_step),
          bits_of(args.first_radius),
          bits_of(args.radius_step),
          args.wraps,
          static_cast<std::int64_t>(args.border),
          reinterpret_cast<std::intptr_t>(&kernels())};  // plans depend on the vector length
}

std::int64_t polar_plan_bytes(const PolarArgs& args) noexcept {
  if (!has_readable_centre(args) || !has_one_centre(args)) return 0;
  if (args.src.rank != 4 || args.out.rank != 4) return 0;
  for (int axis = 0; axis < 4; ++axis) {
    const std::int64_t size = args.out.sizes[axis];
    if (size <= 0 || (axis >= 2 && size >= kSideLimit)) return 0;
  }
  const RunLayout layout(args.out);
  const std::int64_t bytes = sample_block_bytes(layout.count() * layout.samples());
  return bytes <= kLargestPlan ? bytes : 0;
}

Status polar_resample_cpu(const PolarArgs& args, const Executor& executor) noexcept {
  const Status status = check_polar_resample(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  resample(args, false, executor,
           [&args, rays = Rays(args.first_angle, args.angle_step)](Centre centre, std::int64_t row,
                                                                   std::int64_t first, int count,
                                                                   float* x, float* y) mutable {
             const Rays::Direction direction = rays.of(row);
             RayRun run{};
             run.centre_x = centre.x;
             run.centre_y = centre.y;
             run.across = static_cast<float>(direction.across);
             run.down = static_cast<float>(direction.down);
             run.first_radius = static_cast<float>(args.first_radius);
             run.radius_step = static_cast<float>(args.radius_step);
             run.first = static_cast<int>(first);
             run.count = count;
             run.x = x;
             run.y = y;
             kernels().follow_ray(run);
           });
  return status;
}

Status polar_unresample_cpu(const PolarArgs& args, const Executor& executor) noexcept {
  const Status status = check_polar_unresample(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const AngularGrid grid =
      angular_grid(args.first_angle, args.angle_step, args.src.sizes[2], args.wraps);
  // A source without rows cannot wrap: every sample lies outside.
  const bool wraps = args.wraps && args.src.sizes[2] > 0;
  resample(args, wraps, executor,
           [&](Centre given, std::int64_t row, std::int64_t first, int count, float* x, float* y) {
             const Centre centre = within_reach(given);
             PolarRun run{};
             run.x = static_cast<float>(first) - centre.x;
             run.y = static_cast<float>(row) - centre.y;
             run.count = count;
             run.grid = grid;
             run.first_radius = static_cast<float>(args.first_radius);
             run.samples_per_pixel = static_cast<float>(1.0 / args.radius_step);
             run.radius = x;
             run.angle = y;
             kernels().to_polar(run);
           });
  return status;
}

}  // namespace cineflow
