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

/// Row `task` of the output, for one frame or for all of them; `fill` computes the coordinates.
template <typename Fill>
void resample_row(const PolarArgs& args, std::int64_t task, bool shared, bool wraps,
                  const Fill& fill) noexcept {
  const TensorView& out = args.out;
  const std::int64_t image = shared ? 0 : task / out.sizes[2];
  const std::int64_t row = shared ? task : task % out.sizes[2];
  const float* centre =
      floats_at(args.centre, args.centre.sizes[0] == 1 ? 0 : image * args.centre.strides[0]);
  alignas(64) float x[kMaxChunk];
  alignas(64) float y[kMaxChunk];
  for_each_chunk(out.sizes[3], [&](std::int64_t first, int count) {
    fill(centre[0], centre[args.centre.strides[1]], row, first, count, x, y);
    SampleChunk chunk = chunk_of(args.src, image, args.border);
    chunk.wraps = wraps;
    chunk.x = x;
    chunk.y = y;
    chunk.count = count;
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

template <typename Fill>
void resample(const PolarArgs& args, bool wraps, const Executor& executor,
              const Fill& fill) noexcept {
  const TensorView& out = args.out;
  const bool shared = share_coordinates(args);
  const std::int64_t rows = out.sizes[2] * (shared ? 1 : out.sizes[0]);
  const std::int64_t bands = band_count(rows, out.elements() / rows, executor);
  for_each_band(rows, bands, executor, [&](std::int64_t, std::int64_t first, std::int64_t last) {
    for (std::int64_t task = first; task < last; ++task) {
      resample_row(args, task, shared, wraps, fill);
    }
  });
}

}  // namespace

Status polar_resample_cpu(const PolarArgs& args, const Executor& executor) noexcept {
  const Status status = check_polar_resample(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  resample(args, false, executor,
           [&](float centre_x, float centre_y, std::int64_t row, std::int64_t first, int count,
               float* x, float* y) {
             const double angle = args.first_angle + static_cast<double>(row) * args.angle_step;
             RayRun run{};
             run.centre_x = centre_x;
             run.centre_y = centre_y;
             run.across = static_cast<float>(std::cos(angle));
             run.down = static_cast<float>(std::sin(angle));
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
