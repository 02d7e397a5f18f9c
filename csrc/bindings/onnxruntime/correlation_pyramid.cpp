#include "cineflow/correlation_pyramid.h"

#include "op.h"
#include "registration.h"

namespace cineflow::onnxruntime {
namespace {

struct CorrelationPyramid {
  using Args = CorrelationPyramidArgs;
  static constexpr const char* kName = "CorrelationPyramid";
  static constexpr DType kFeatures[] = {DType::kF32, DType::kF16, DType::kBF16};
  static constexpr Input<Args> kInputs[] = {
      {&Args::f1, 4, Element::kFeatures},
      {&Args::f2, 4, Element::kFeatures},
  };
  static constexpr bool kTakesVolumes = false;
  static constexpr auto kCpu = &correlation_pyramid_cpu;
  static constexpr auto kCuda = &correlation_pyramid_cuda;
  static constexpr auto kWorkspace = &correlation_pyramid_workspace;

  static Status read(Attributes node, Args* args) noexcept {
    return node.integer("levels", 1, kMaxLevels, &args->levels)
        .real("scale", &args->scale)
        .status();
  }

  static Shape shape(const Args& args, const Shape (&in)[2]) noexcept {
    const std::int64_t height = in[0][2].size;
    const std::int64_t width = in[0][3].size;
    const bool known = height >= 0 && height < kSideLimit && width >= 0 && width < kSideLimit;
    return {in[0][0], in[0][2], in[0][3],
            known ? Dim(level_start(height, width, args.levels)) : Dim()};
  }
};

struct CorrelationLookup {
  using Args = CorrelationLookupArgs;
  static constexpr const char* kName = "CorrelationLookup";
  static constexpr DType kFeatures[] = {DType::kF32, DType::kF16, DType::kBF16};
  static constexpr Input<Args> kInputs[] = {
      {&Args::pyramid, 4, Element::kFeatures},
      {&Args::coords, 4, Element::kF32},
  };
  static constexpr bool kTakesVolumes = false;
  static constexpr auto kCpu = &correlation_lookup_cpu;
  static constexpr auto kCuda = &correlation_lookup_cuda;
  static constexpr auto kWorkspace = nullptr;

  static Status read(Attributes node, Args* args) noexcept {
    return node.integer("levels", 1, kMaxLevels, &args->levels)
        .integer("radius", 0, kMaxLookupRadius, &args->radius)
        .status();
  }

  static Shape shape(const Args& args, const Shape (&in)[2]) noexcept {
    const std::int64_t side = 2 * args.radius + 1;
    return {in[0][0], args.levels * side * side, in[0][1], in[0][2]};
  }
};

const Registration<CorrelationPyramid> pyramid;
const Registration<CorrelationLookup> lookup;

}  // namespace
}  // namespace cineflow::onnxruntime
