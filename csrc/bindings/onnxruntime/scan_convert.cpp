#include "cineflow/scan_convert.h"

#include "op.h"
#include "registration.h"

namespace cineflow::onnxruntime {
namespace {

struct ScanConvert {
  using Args = ScanConvertArgs;
  static constexpr const char* kName = "ScanConvert";
  static constexpr bool kTakesVolumes = true;
  static constexpr bool kGivesBytes = true;
  static constexpr DType kFeatures[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kU8};
  static constexpr Input<Args> kInputs[] = {{&Args::src, 4, Element::kFeatures}};
  static constexpr auto kCpu = &scan_convert_cpu;
  static constexpr auto kCuda = &scan_convert_cuda;
  static constexpr auto kWorkspace = nullptr;

  /// Attributes give the output's size, [N, C, (slices,) rows, columns], and whether it is of
  /// bytes. Whether there are slices is not known yet, so their number is kept behind the columns.
  static Status read(Attributes node, Args* args) noexcept {
    constexpr std::int64_t kLargestSide = (1 << 24) - 1;
    bool to_bytes = false;
    node.integer("rows", 1, kLargestSide, &args->out.sizes[2])
        .integer("columns", 1, kLargestSide, &args->out.sizes[3])
        .real("apex_x", &args->apex_x)
        .real("apex_y", &args->apex_y)
        .real("first_angle", &args->first_angle)
        .real("angle_step", &args->angle_step)
        .real("first_radius", &args->first_radius)
        .real("radius_step", &args->radius_step)
        .real("scale", &args->scale)
        .real("offset", &args->offset)
        .integer("to_bytes", 0, 1, &to_bytes)
        .integer("slices", 0, kLargestSide, &args->out.sizes[4])
        .real("axis_y", &args->axis_y)
        .real("axis_z", &args->axis_z)
        .real("first_tilt", &args->first_tilt)
        .real("tilt_step", &args->tilt_step);
    if (to_bytes) args->out.dtype = DType::kU8;
    return node.status();
  }

  static Shape shape(const Args& args, const Shape (&in)[1]) noexcept {
    const std::int64_t* sides = args.out.sizes;
    if (in[0].rank == kVolumeRank) return {in[0][0], in[0][1], sides[4], sides[2], sides[3]};
    return {in[0][0], in[0][1], sides[2], sides[3]};
  }
};

const Registration<ScanConvert> registration;

}  // namespace
}  // namespace cineflow::onnxruntime
