#include "cineflow/compose_flow.h"

#include "op.h"
#include "registration.h"

namespace cineflow::onnxruntime {
namespace {

struct ComposeFlow {
  using Args = ComposeFlowArgs;
  static constexpr const char* kName = "ComposeFlow";
  static constexpr DType kFeatures[] = {DType::kF32};
  static constexpr Input<Args> kInputs[] = {
      {&Args::displacement, 4, Element::kFeatures},
      {&Args::flow, 4, Element::kF32},
  };
  static constexpr bool kTakesVolumes = true;
  static constexpr auto kCpu = &compose_flow_cpu;
  static constexpr auto kCuda = &compose_flow_cuda;
  static constexpr auto kWorkspace = nullptr;

  static Status read(Attributes node, Args* args) noexcept {
    return read_border(node, &args->border).status();
  }

  static Shape shape(const Args&, const Shape (&in)[2]) noexcept { return in[0]; }
};

const Registration<ComposeFlow> compose_flow;

}  // namespace
}  // namespace cineflow::onnxruntime
