#include "cineflow/patch_correlation.h"

#include "op.h"
#include "registration.h"

namespace cineflow::onnxruntime {
namespace {

struct PatchCorrelation {
  using Args = PatchCorrelationArgs;
  static constexpr const char* kName = "PatchCorrelation";
  static constexpr DType kFeatures[] = {DType::kF32, DType::kF16, DType::kBF16};
  static constexpr Input<Args> kInputs[] = {
      {&Args::f1, 4, Element::kFeatures},
      {&Args::f2, 4, Element::kFeatures},
      {&Args::points1, 3, Element::kF32},
      {&Args::points2, 3, Element::kF32},
  };
  static constexpr bool kTakesVolumes = false;
  static constexpr auto kCpu = &patch_correlation_cpu;
  static constexpr auto kCuda = &patch_correlation_cuda;
  static constexpr auto kWorkspace = &patch_correlation_workspace;

  static Status read(Attributes node, Args* args) noexcept {
    node.integer("size1", 1, kMaxPatch, &args->size1)
        .integer("size2", 1, kMaxPatch, &args->size2)
        .integer("pool1", 1, kMaxPatch, &args->pool1)
        .integer("pool2", 1, kMaxPatch, &args->pool2)
        .real("scale", &args->scale);
    return read_border(node, &args->border).status();
  }

  static Shape shape(const Args& args, const Shape (&in)[4]) noexcept {
    const std::int64_t cells1 = args.cells1();
    const std::int64_t cells2 = args.cells2();
    return {in[1][0], in[3][1], cells1 * cells1, cells2 * cells2};
  }
};

const Registration<PatchCorrelation> registration;

}  // namespace
}  // namespace cineflow::onnxruntime
