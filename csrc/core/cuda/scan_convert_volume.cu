// Scan conversion of volumes.
#include <cmath>

#include "cuda/grid_sampling.h"
#include "cuda/volume_corners.h"
#include "cuda/volume_grid.h"
#include "cuda/volumes.h"

namespace cineflow {
namespace {

constexpr int kSlab = 8;  // planes of one thread: channels and frames, which share their positions
constexpr int kAtOnce = 2;  // planes that are loaded together

/// The whole pixels of a number and the rest: f64 is slow on most devices.
struct Split {
  explicit Split(double value)
      : whole(static_cast<int>(std::rint(value))),
        rest(static_cast<float>(value - std::rint(value))) {}
  __device__ float from(int position) const { return static_cast<float>(position - whole) - rest; }
  int whole;
  float rest;
};

/// The position in the planes of a probe; NaN outside of the pyramid.
struct ToPlanes {
  PolarPositions positions;  // in a plane
  AngularGrid tilts;
  Split apex_x, axis_y, axis_z;
  float axis_to_apex;  // y of the axis, counted from the apex
  int planes, lines, samples;

  __device__ VolumeCorners corners(const TensorView& src, const GridPixel& at) const {
    const float below = axis_y.from(at.y);
    const float inward = axis_z.from(at.z);
    const float tilt = angular_sample(angle_of(below, inward), tilts);
    const float depth = sqrtf(below * below + inward * inward) + axis_to_apex;
    const Point point = positions.at(apex_x.from(at.x), depth);
    return corners_at(src, Border::kZeros, position_in_sector(point.x, samples),
                      position_in_sector(point.y, lines), position_in_sector(tilt, planes));
  }
};

/// One thread per voxel and slab of planes. Images and channels are planes of equal distance, or
/// each image is a group.
template <typename Source, typename Result>
__global__ void __launch_bounds__(kVolumeThreads)
    convert_volumes(GridSampling args, ToPlanes map, int tiles_across, PlaneGroups parts) {
  const TensorView& out = args.out;
  const GridPixel pixel = pixel_of(out, tiles_across);
  if (!pixel.inside) return;
  const VolumeCorners corners = map.corners(args.src, pixel);

  const std::int64_t slabs = (parts.planes + kSlab - 1) / kSlab;
  for (std::int64_t task = blockIdx.y; task < parts.groups * slabs; task += gridDim.y) {
    const std::int64_t group = task / slabs;
    const std::int64_t first = task % slabs * kSlab;
    const std::int64_t left = parts.planes - first;
    const int planes = left < kSlab ? static_cast<int>(left) : kSlab;
    const Source* from = static_cast<const Source*>(args.src.data) + group * args.src.strides[0] +
                         first * parts.src_step;
    Result* to =
        static_cast<Result*>(out.data) + offset_in(out, group, pixel) + first * parts.out_step;
    sample_planes<kAtOnce>(
        from, parts.src_step, to, parts.out_step, planes, corners,
        [&args](float sample) { return from_float<Result>(args.scale * sample + args.offset); });
  }
}

}  // namespace

Status scan_convert_volume_cuda(const ScanConvertArgs& args, void* stream) noexcept {
  const TensorView& src = args.src;
  const TensorView& out = args.out;
  const ToPlanes map{
      {angular_grid(args.first_angle, args.angle_step, src.sizes[3], false),
       static_cast<float>(args.first_radius), static_cast<float>(1.0 / args.radius_step)},
      angular_grid(args.first_tilt, args.tilt_step, src.sizes[2], false),
      Split(args.apex_x),
      Split(args.axis_y),
      Split(args.axis_z),
      static_cast<float>(args.axis_y - args.apex_y),
      static_cast<int>(src.sizes[2]),
      static_cast<int>(src.sizes[3]),
      static_cast<int>(src.sizes[4])};
  const GridSampling sampling{src, out, Border::kZeros, args.scale, args.offset};
  const PlaneGroups parts = plane_groups(src, out, true);
  const std::int64_t across = ceil_div(out.sizes[4], kVolumeBlockX);
  const Grid grid = volume_grid(out, parts.groups * ceil_div(parts.planes, kSlab), across);
  return with_storage(src.dtype, [&](auto source) {
    return with_storage(out.dtype, [&](auto result) {
      using Source = typename decltype(source)::type;
      using Result = typename decltype(result)::type;
      return launch("scan_convert", grid, out.device_index, stream, convert_volumes<Source, Result>,
                    sampling, map, static_cast<int>(across), parts);
    });
  });
}

}  // namespace cineflow
