#include <cmath>

#include "cineflow/scan_convert.h"
#include "cuda/grid_sampling.h"
#include "cuda/volumes.h"

namespace cineflow {
namespace {

/// The position in the lines of a probe; NaN outside of the sector.
struct ToLines {
  static constexpr bool kWraps = false;
  static constexpr bool kGivesBytes = true;
  PolarPositions positions;
  Centre apex;         // less than a pixel from the next one,
  int apex_x, apex_y;  // the whole pixels: f64 is slow on most devices
  int lines, samples;

  __device__ Point operator()(std::int64_t, int row, int column) const {
    const Point point = positions.at(static_cast<float>(column - apex_x) - apex.x,
                                     static_cast<float>(row - apex_y) - apex.y);
    return {position_in_sector(point.x, samples), position_in_sector(point.y, lines)};
  }
};

}  // namespace

Status scan_convert_cuda(const ScanConvertArgs& args, void* stream) noexcept {
  const Status status = check_scan_convert(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  if (args.src.rank == kVolumeRank) return scan_convert_volume_cuda(args, stream);
  const std::int64_t lines = args.src.sizes[2];
  const PolarPositions positions{angular_grid(args.first_angle, args.angle_step, lines, false),
                                 static_cast<float>(args.first_radius),
                                 static_cast<float>(1.0 / args.radius_step)};
  const double whole_x = std::rint(args.apex_x);
  const double whole_y = std::rint(args.apex_y);
  const ToLines map{
      positions,
      {static_cast<float>(args.apex_x - whole_x), static_cast<float>(args.apex_y - whole_y)},
      static_cast<int>(whole_x),
      static_cast<int>(whole_y),
      static_cast<int>(lines),
      static_cast<int>(args.src.sizes[3])};
  const GridSampling sampling{args.src, args.out, Border::kZeros, args.scale, args.offset};
  return launch_resample("scan_convert", sampling, true, map, stream);
}

}  // namespace cineflow
