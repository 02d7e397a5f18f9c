// Scan conversion of volumes: tilted planes of lines to a Cartesian volume.
//
// All voxels of a row along x have the same tilt, and the same depth in a tilted plane. So a row is
// a row of a conversion in two dimensions, at one position between two planes. Rows beyond the
// first and last plane, and the ends of the others, are filled without a look at the lines.
#include "cpu/scan_convert_volume.h"

#include <algorithm>
#include <cmath>

#include "cpu/chunks.h"
#include "cpu/runs.h"
#include "math/dispatch.h"
#include "math/polar.h"

namespace cineflow {
namespace {

/// Rows of a chunk, at least. Rows outside of the pyramid take no time, so the others are shared.
constexpr std::int64_t kLeastRows = 16;

/// Where the rows of one thread read.
class RowConverter {
 public:
  explicit RowConverter(const ScanConvertArgs& args)
      : args_(args),
        tilts_(angular_grid(args.first_tilt, args.tilt_step, args.src.sizes[2], false)),
        angles_(angular_grid(args.first_angle, args.angle_step, args.src.sizes[3], false)) {}

  void convert(std::int64_t slice, std::int64_t row) {
    const TensorView& out = args_.out;
    const double below = static_cast<double>(row) - args_.axis_y;
    const double inward = static_cast<double>(slice) - args_.axis_z;
    const float plane = plane_at(below, inward);
    // Counted from the apex of the lines, which may lie before or behind the axis.
    const double depth = std::hypot(below, inward) + (args_.axis_y - args_.apex_y);
    for (std::int64_t column = 0; column < out.sizes[4]; column += kMaxVolumeRun) {
      const std::int64_t count = std::min<std::int64_t>(kMaxVolumeRun, out.sizes[4] - column);
      const std::int64_t first = slice * out.strides[2] + row * out.strides[3];
      if (!std::isnan(plane)) locate(plane, depth, column, static_cast<int>(count));
      const Part part = std::isnan(plane) ? Part{0, 0} : part_inside(static_cast<int>(count));
      for (std::int64_t image = 0; image < out.sizes[0]; ++image) {
        const std::int64_t at_column = image * out.strides[0] + first + column * out.strides[4];
        fill(at_column, part.begin);
        sample(image, at_column, part);
        fill(at_column + part.end * out.strides[4], count - part.end);
      }
    }
  }

 private:
  /// Samples [begin, end) of a run.
  struct Part {
    int begin, end;
  };

  /// The position between the planes; NaN beyond the first and the last.
  float plane_at(double below, double inward) const {
    constexpr double kTurn = 6.283185307179586477;
    const double tilt = std::atan2(inward, below);
    const auto angle = static_cast<float>(tilt < 0 ? tilt + kTurn : tilt);
    return position_in_sector(angular_sample(angle, tilts_), args_.src.sizes[2]);
  }

  void locate(float plane, double depth, std::int64_t column, int count) {
    PolarRun run{};
    run.x = static_cast<float>(static_cast<double>(column) - args_.apex_x);
    run.y = static_cast<float>(depth);
    run.count = count;
    run.grid = angles_;
    run.first_radius = static_cast<float>(args_.first_radius);
    run.samples_per_pixel = static_cast<float>(1.0 / args_.radius_step);
    run.ends_sharply = true;
    run.angles = args_.src.sizes[3];
    run.radii = args_.src.sizes[4];
    run.radius = x_;
    run.angle = y_;
    kernels().to_polar(run);
    std::fill(z_, z_ + count, plane);
  }

  /// From the first to the last sample inside of the sector.
  Part part_inside(int count) const {
    const auto outside = [&](int at) { return std::isnan(x_[at]) || std::isnan(y_[at]); };
    Part part{0, count};
    while (part.begin < count && outside(part.begin)) ++part.begin;
    while (part.end > part.begin && outside(part.end - 1)) --part.end;
    return part;
  }

  void fill(std::int64_t first_element, std::int64_t count) const {
    const TensorView& out = args_.out;
    with_storage(out.dtype, [&](auto tag) {
      using Result = typename decltype(tag)::type;
      const auto value = from_float<Result>(args_.offset);
      for (std::int64_t channel = 0; channel < out.sizes[1]; ++channel) {
        auto* to = static_cast<Result*>(at(out, first_element + channel * out.strides[1]));
        if (out.strides[4] == 1) {
          std::fill(to, to + count, value);
        } else {
          for (std::int64_t index = 0; index < count; ++index) to[index * out.strides[4]] = value;
        }
      }
    });
  }

  void sample(std::int64_t image, std::int64_t at_column, const Part& part) const {
    if (part.begin == part.end) return;
    const TensorView& out = args_.out;
    VolumeRun run = make_volume_run(args_.src, image, Border::kZeros, out,
                                    at_column + part.begin * out.strides[4], part.end - part.begin);
    run.scale = args_.scale;
    run.bias = args_.offset;
    kernels().sample_volume(run, {x_ + part.begin, y_ + part.begin, z_ + part.begin});
  }

  const ScanConvertArgs& args_;
  AngularGrid tilts_, angles_;
  alignas(64) float x_[kMaxVolumeRun + 16];  // samples; to_polar writes whole vectors
  alignas(64) float y_[kMaxVolumeRun + 16];  // lines
  alignas(64) float z_[kMaxVolumeRun + 16];  // planes
};

}  // namespace

void scan_convert_volumes(const ScanConvertArgs& args, const Executor& executor) noexcept {
  const TensorView& out = args.out;
  const std::int64_t height = out.sizes[3];
  const std::int64_t rows = out.sizes[2] * height;
  const std::int64_t row_cost = out.sizes[0] * out.sizes[1] * out.sizes[4];
  const std::int64_t bands = band_count(rows, row_cost, executor);
  for_each_chunk(rows, bands, kLeastRows, executor, [&](std::int64_t, Chunks& chunks) {
    RowConverter converter(args);
    while (chunks.take()) {
      for (std::int64_t row = chunks.first(); row < chunks.last(); ++row) {
        converter.convert(row / height, row % height);
      }
    }
  });
}

}  // namespace cineflow
