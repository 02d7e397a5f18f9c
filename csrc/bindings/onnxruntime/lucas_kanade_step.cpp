#include "cineflow/lucas_kanade_step.h"

#include "op.h"
#include "registration.h"

namespace cineflow::onnxruntime {
namespace {

struct LucasKanadeStep {
  using Args = LucasKanadeStepArgs;
  static constexpr const char* kName = "LucasKanadeStep";
  static constexpr DType kFeatures[] = {DType::kF32};
  static constexpr Input<Args> kInputs[] = {
      {&Args::previous, 4, Element::kFeatures},
      {&Args::current, 4, Element::kF32},
      {&Args::mask, 4, Element::kF32},
  };
  static constexpr bool kTakesVolumes = false;
  static constexpr auto kCpu = &lucas_kanade_step_cpu;
  static constexpr auto kCuda = &lucas_kanade_step_cuda;
  static constexpr auto kWorkspace = &lucas_kanade_step_workspace;
  static constexpr auto kCudaWorkspace = &lucas_kanade_step_cuda_workspace;

  static Status read(Attributes node, Args* args) noexcept {
    return node.integer("cell", 1, kMaxCell, &args->cell)
        .real("sigma", &args->sigma)
        .integer("refinements", 0, kMaxRefinements, &args->refinements)
        .real("trust", &args->trust)
        .real("ridge", &args->ridge)
        .status();
  }

  static Shape shape(const Args&, const Shape (&in)[3]) noexcept {
    Shape out = in[2];
    out.dims[1] = 2;
    return out;
  }
};

/// A graph may have levels that differ in their attributes. Each then has a body of its own, and
/// a function of its own name: "LucasKanadeStep_2" is the second (export/ops/_attach.py).
struct SecondLevel : LucasKanadeStep {
  static constexpr const char* kName = "LucasKanadeStep_2";
};
struct ThirdLevel : LucasKanadeStep {
  static constexpr const char* kName = "LucasKanadeStep_3";
};
struct FourthLevel : LucasKanadeStep {
  static constexpr const char* kName = "LucasKanadeStep_4";
};

const Registration<LucasKanadeStep> first;
const Registration<SecondLevel> second;
const Registration<ThirdLevel> third;
const Registration<FourthLevel> fourth;

}  // namespace
}  // namespace cineflow::onnxruntime
