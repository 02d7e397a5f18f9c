#include "cineflow/scan_convert.h"

#include "cpu/panels.h"
#include "cpu/scan_convert_volume.h"
#include "math/polar.h"

namespace cineflow {
namespace {

/// Most bytes of a plan: that of an image of 1920 x 1080 pixels. Few of its pages are touched.
constexpr std::int64_t kLargestPlan = std::int64_t{64} << 20;

}  // namespace

PolarPlanKey scan_convert_plan_key(const ScanConvertArgs& args) noexcept {
  const TensorView& src = args.src;
  const TensorView& out = args.out;
  return {src.sizes[2],
          src.sizes[3],
          src.strides[2],
          src.strides[3],
          out.sizes[2],
          out.sizes[3],
          goes_along_channels(src, out),
          bits_of(args.apex_x),
          bits_of(args.apex_y),
          bits_of(args.first_angle),
          bits_of(args.angle_step),
          bits_of(args.first_radius),
          bits_of(args.radius_step),
          reinterpret_cast<std::intptr_t>(&kernels())};  // plans depend on the vector length
}

std::int64_t scan_convert_plan_bytes(const ScanConvertArgs& args) noexcept {
  if (!has_room_for_plan(args.src, args.out)) return 0;
  const std::int64_t bytes = plan_bytes(args.out);
  return bytes <= kLargestPlan ? bytes : 0;
}

Status scan_convert_cpu(const ScanConvertArgs& args, const Executor& executor) noexcept {
  const Status status = check_scan_convert(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  if (args.src.rank == kVolumeRank) {
    scan_convert_volumes(args, executor);
    return status;
  }
  const std::int64_t lines = args.src.sizes[2];
  const std::int64_t samples = args.src.sizes[3];
  const AngularGrid grid = angular_grid(args.first_angle, args.angle_step, lines, false);
  const PanelSampling sampling{args.src, args.out,   Border::kZeros, false,
                               true,     args.scale, args.offset,    args.plan};
  sample_panels(
      sampling, executor,
      [&](std::int64_t, std::int64_t row, std::int64_t first, int count, float* x, float* y) {
        PolarRun run{};
        run.x = static_cast<float>(static_cast<double>(first) - args.apex_x);
        run.y = static_cast<float>(static_cast<double>(row) - args.apex_y);
        run.count = count;
        run.grid = grid;
        run.first_radius = static_cast<float>(args.first_radius);
        run.samples_per_pixel = static_cast<float>(1.0 / args.radius_step);
        run.ends_sharply = true;
        run.angles = lines;
        run.radii = samples;
        run.radius = x;
        run.angle = y;
        kernels().to_polar(run);
      });
  return status;
}

}  // namespace cineflow
