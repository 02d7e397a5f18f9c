#include "cineflow/warp.h"

#include "op.h"
#include "registration.h"

namespace cineflow::onnxruntime {
namespace {

struct Warp {
  using Args = WarpArgs;
  static constexpr const char* kName = "Warp";
  static constexpr DType kFeatures[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kU8};
  static constexpr Input<Args> kInputs[] = {
      {&Args::src, 4, Element::kFeatures},
      {&Args::flow, 4, Element::kF32},
  };
  static constexpr bool kTakesVolumes = true;
  static constexpr auto kCpu = &warp_cpu;
  static constexpr auto kCuda = &warp_cuda;
  static constexpr auto kWorkspace = nullptr;

  static Status read(Attributes node, Args* args) noexcept {
    return read_border(node, &args->border).status();
  }

  static Shape shape(const Args&, const Shape (&in)[2]) noexcept {
    Shape out = in[1];
    out.dims[0] = in[0][0];
    out.dims[1] = in[0][1];
    return out;
  }
};

const Registration<Warp> warp;

}  // namespace
}  // namespace cineflow::onnxruntime
