#include "cineflow/identity.h"

#include "op.h"
#include "registration.h"

namespace cineflow::onnxruntime {
namespace {

struct Identity {
  using Args = IdentityArgs;
  static constexpr const char* kName = "Identity";
  static constexpr DType kFeatures[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kU8};
  static constexpr Input<Args> kInputs[] = {{&Args::src, 4, Element::kFeatures}};
  static constexpr bool kTakesVolumes = false;
  static constexpr auto kCpu = &identity_cpu;
  static constexpr auto kCuda = &identity_cuda;
  static constexpr auto kWorkspace = nullptr;

  static Status read(Attributes, Args*) noexcept { return {}; }
  static Shape shape(const Args&, const Shape (&in)[1]) noexcept { return in[0]; }
};

const Registration<Identity> identity;

}  // namespace
}  // namespace cineflow::onnxruntime
