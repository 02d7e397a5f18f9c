#include "cineflow/correlation.h"

#include "op.h"
#include "registration.h"

namespace cineflow::onnxruntime {
namespace {

struct Correlation {
  using Args = CorrelationArgs;
  static constexpr const char* kName = "Correlation";
  static constexpr DType kFeatures[] = {DType::kF32, DType::kF16, DType::kBF16};
  static constexpr Input<Args> kInputs[] = {
      {&Args::f1, 4, Element::kFeatures},
      {&Args::f2, 4, Element::kFeatures},
  };
  static constexpr bool kTakesVolumes = true;
  static constexpr auto kCpu = &correlation_cpu;
  static constexpr auto kCuda = &correlation_cuda;
  static constexpr auto kWorkspace = &correlation_workspace;

  static Status read(Attributes node, Args* args) noexcept {
    return node.integer("radius", 0, kMaxRadius, &args->radius)
        .integer("dilation", 1, kMaxDilation, &args->dilation)
        .real("scale", &args->scale)
        .integer("x_major", 0, 1, &args->x_major)
        .status();
  }

  template <std::size_t kCount>
  static Shape shape(const Args& args, const Shape (&in)[kCount]) noexcept {
    const std::int64_t side = 2 * args.radius + 1;
    Shape out = in[0];
    out.dims[1] = out.rank == kVolumeRank ? side * side * side : side * side;
    return out;
  }
};

struct WarpCorrelation : Correlation {
  static constexpr const char* kName = "WarpCorrelation";
  static constexpr Input<Args> kInputs[] = {
      {&Args::f1, 4, Element::kFeatures},
      {&Args::f2, 4, Element::kFeatures},
      {&Args::flow, 4, Element::kF32},
  };

  static Status read(Attributes node, Args* args) noexcept {
    const Status status = Correlation::read(node, args);
    return status.ok() ? read_border(node, &args->border).status() : status;
  }
};

const Registration<Correlation> correlation;
const Registration<WarpCorrelation> warp_correlation;

}  // namespace
}  // namespace cineflow::onnxruntime
