#include "cineflow/correlation_on_demand.h"

#include "op.h"
#include "registration.h"

namespace cineflow::onnxruntime {
namespace {

struct FeaturePyramid {
  using Args = FeaturePyramidArgs;
  static constexpr const char* kName = "FeaturePyramid";
  static constexpr DType kFeatures[] = {DType::kF32, DType::kF16, DType::kBF16};
  static constexpr Input<Args> kInputs[] = {{&Args::f2, 4, Element::kFeatures}};
  static constexpr bool kTakesVolumes = false;
  static constexpr auto kCpu = &feature_pyramid_cpu;
  static constexpr auto kCuda = &feature_pyramid_cuda;
  static constexpr auto kWorkspace = nullptr;

  static Status read(Attributes node, Args* args) noexcept {
    return node.integer("levels", 1, kMaxLevels, &args->levels).status();
  }

  static Shape shape(const Args& args, const Shape (&in)[1]) noexcept {
    const std::int64_t height = in[0][2].size;
    const bool known = height >= 0 && height < kSideLimit;
    return {in[0][0], in[0][1], known ? Dim(level_row(height, args.levels)) : Dim(), in[0][3]};
  }
};

struct CorrelationOnDemand {
  using Args = CorrelationOnDemandArgs;
  static constexpr const char* kName = "CorrelationOnDemand";
  static constexpr DType kFeatures[] = {DType::kF32, DType::kF16, DType::kBF16};
  static constexpr Input<Args> kInputs[] = {
      {&Args::f1, 4, Element::kFeatures},
      {&Args::features, 4, Element::kFeatures},
      {&Args::coords, 4, Element::kF32},
  };
  static constexpr bool kTakesVolumes = false;
  static constexpr auto kCpu = &correlation_on_demand_cpu;
  static constexpr auto kCuda = &correlation_on_demand_cuda;
  static constexpr auto kWorkspace = &correlation_on_demand_workspace;

  static Status read(Attributes node, Args* args) noexcept {
    return node.integer("levels", 1, kMaxLevels, &args->levels)
        .integer("radius", 0, kMaxLookupRadius, &args->radius)
        .real("scale", &args->scale)
        .status();
  }

  static Shape shape(const Args& args, const Shape (&in)[3]) noexcept {
    const std::int64_t side = 2 * args.radius + 1;
    return {in[0][0], args.levels * side * side, in[0][2], in[0][3]};
  }
};

const Registration<FeaturePyramid> feature_pyramid;
const Registration<CorrelationOnDemand> on_demand;

}  // namespace
}  // namespace cineflow::onnxruntime
