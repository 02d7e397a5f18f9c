#include "cineflow/polar.h"

#include "op.h"
#include "registration.h"

namespace cineflow::onnxruntime {
namespace {

struct PolarResample {
  using Args = PolarArgs;
  static constexpr const char* kName = "PolarResample";
  static constexpr DType kFeatures[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kU8};
  static constexpr Input<Args> kInputs[] = {
      {&Args::src, 4, Element::kFeatures},
      {&Args::centre, 2, Element::kF32},
  };
  static constexpr bool kTakesVolumes = false;
  static constexpr auto kCpu = &polar_resample_cpu;
  static constexpr auto kCuda = &polar_resample_cuda;
  static constexpr auto kWorkspace = nullptr;

  /// Attributes give the output's size: [N, C, rows, columns].
  static Status read(Attributes node, Args* args) noexcept {
    constexpr std::int64_t kLargestSide = (1 << 24) - 1;
    node.integer("rows", 1, kLargestSide, &args->out.sizes[2])
        .integer("columns", 1, kLargestSide, &args->out.sizes[3])
        .real("first_angle", &args->first_angle)
        .real("angle_step", &args->angle_step)
        .real("first_radius", &args->first_radius)
        .real("radius_step", &args->radius_step)
        .integer("wraps", 0, 1, &args->wraps)
        .real("scale", &args->scale)
        .real("offset", &args->offset);
    return read_border(node, &args->border).status();
  }

  static Shape shape(const Args& args, const Shape (&in)[2]) noexcept {
    return {in[0][0], in[0][1], args.out.sizes[2], args.out.sizes[3]};
  }
};

struct PolarUnresample : PolarResample {
  static constexpr const char* kName = "PolarUnresample";
  static constexpr auto kCpu = &polar_unresample_cpu;
  static constexpr auto kCuda = &polar_unresample_cuda;
};

const Registration<PolarResample> polar_resample;
const Registration<PolarUnresample> polar_unresample;

}  // namespace
}  // namespace cineflow::onnxruntime
