#include "cineflow/polar.h"

#include <cmath>

#include "cpu/bands.h"
#include "cpu/warped_row.h"
#include "math/polar.h"

namespace cineflow {
namespace {

/// The stride from one of N x C planes to the next, or 0 where there is no such single stride.
std::int64_t plane_stride(const TensorView& view) {
  if (view.sizes[1] == 1) return view.strides[0];
  return view.strides[0] == view.sizes[1] * view.strides[1] ? view.strides[1] : 0;
}

bool share_coordinates(const PolarArgs& args) {
  return args.src.sizes[0] == 1 ||
         (args.centre.sizes[0] == 1 && plane_stride(args.src) != 0 && plane_stride(args.out) != 0);
}

/// Directions of the rays. Each is turned from that of a nearby anchor row: a complex product costs
/// less than a sine, and its bits do not depend on which rows were asked for before.
class Rays {
 public:
  Rays(double first_angle, double angle_step) : first_(first_angle), step_(angle_step) {
    for (int index = 0; index < kAnchorEvery; ++index) turns_[index] = direction(index * step_);
  }

  struct Direction {
    double across, down;
  };

  Direction of(std::int64_t row) {
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

/// Rows [first_row, last_row) of image `image`, or of all images where they share coordinates, in
/// runs that may cross rows: neighbouring rows read the same lines of the cache.
template <typename Fill>
void resample_rows(const PolarArgs& args, std::int64_t image, std::int64_t first_row,
                   std::int64_t last_row, bool shared, bool wraps, Fill fill) noexcept {
  const TensorView& out = args.out;
  const std::int64_t width = out.sizes[3];
  const bool crosses = rows_follow(out) && width < kMaxChunk;
  const std::int64_t rows_per_run = crosses ? kMaxChunk / width : 1;
  const float* centre =
      floats_at(args.centre, args.centre.sizes[0] == 1 ? 0 : image * args.centre.strides[0]);
  alignas(64) float x[kCoordinateRoom];
  alignas(64) float y[kCoordinateRoom];
  for (std::int64_t row = first_row; row < last_row; row += rows_per_run) {
    const std::int64_t rows = std::min(rows_per_run, last_row - row);
    for_each_chunk(width, [&](std::int64_t first, int count) {
      for (std::int64_t index = 0; index < rows; ++index) {
        fill(centre[0], centre[args.centre.strides[1]], row + index, first, count,
             x + index * width, y + index * width);
      }
      SampleChunk chunk = chunk_of(args.src, image, args.border);
      chunk.wraps = wraps;
      chunk.x = x;
      chunk.y = y;
      chunk.count = static_cast<int>(rows) * count;
      chunk.out = at(out, image * out.strides[0] + row * out.strides[2] + first * out.strides[3]);
      chunk.out_dtype = out.dtype;
      chunk.out_channel_stride = out.strides[1];
      chunk.out_stride = out.strides[3];
      chunk.scale = args.scale;
      chunk.offset = args.offset;
      if (shared && args.src.sizes[0] > 1) {
        chunk.channels = args.src.sizes[0] * args.src.sizes[1];
        chunk.channel_stride = plane_stride(args.src);
        chunk.out_channel_stride = plane_stride(out);
      }
      kernels().sample(chunk);
    });
  }
}

/// `fill` computes the coordinates of a part of a row; each band has a copy of it.
template <typename Fill>
void resample(const PolarArgs& args, bool wraps, const Executor& executor,
              const Fill& fill) noexcept {
  const TensorView& out = args.out;
  const bool shared = share_coordinates(args);
  const std::int64_t height = out.sizes[2];
  const std::int64_t rows = height * (shared ? 1 : out.sizes[0]);
  const std::int64_t bands = band_count(rows, out.elements() / rows, executor);
  for_each_band(rows, bands, executor, [&](std::int64_t, std::int64_t first, std::int64_t last) {
    for (std::int64_t row = first; row < last;) {
      const std::int64_t end = std::min(last, (row / height + 1) * height);
      resample_rows(args, row / height, row % height, end - row / height * height, shared, wraps,
                    fill);
      row = end;
    }
  });
}

}  // namespace

Status polar_resample_cpu(const PolarArgs& args, const Executor& executor) noexcept {
  const Status status = check_polar_resample(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  resample(args, false, executor,
           [&args, rays = Rays(args.first_angle, args.angle_step)](
               float centre_x, float centre_y, std::int64_t row, std::int64_t first, int count,
               float* x, float* y) mutable {
             const Rays::Direction direction = rays.of(row);
             RayRun run{};
             run.centre_x = centre_x;
             run.centre_y = centre_y;
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
  // A source without rows has none to wrap to: every sample lies outside.
  const bool wraps = args.wraps && args.src.sizes[2] > 0;
  resample(args, wraps, executor,
           [&](float centre_x, float centre_y, std::int64_t row, std::int64_t first, int count,
               float* x, float* y) {
             const Centre centre = within_reach({centre_x, centre_y});
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
