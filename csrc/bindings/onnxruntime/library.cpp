// libcineflow_ort.so: the ops as nodes of domain `cineflow`. It exports RegisterCustomOps only.
#include <deque>
#include <exception>
#include <mutex>

#include "registration.h"

namespace cineflow::onnxruntime {
namespace {

/// The ops that are registered with one runtime. Sessions point into it while they live, so it is
/// never destroyed: at exit a session may outlive this library's statics.
class Domain {
 public:
  explicit Domain(const OrtApi& api) : api_(api) {
    for (const Maker make : makers()) make(api, &ops_);
  }

  Domain(const Domain&) = delete;
  Domain& operator=(const Domain&) = delete;

  const OrtApi& api() const noexcept { return api_; }

  /// Adds the ops to `options`. The first call creates the runtime's domain.
  OrtStatus* add_to(OrtSessionOptions* options) {
    if (handle_ == nullptr) {
      OrtCustomOpDomain* made = nullptr;
      if (OrtStatus* failed = api_.CreateCustomOpDomain("cineflow", &made)) return failed;
      for (const auto& op : ops_) {
        if (OrtStatus* failed = api_.CustomOpDomain_Add(made, op.get())) {
          api_.ReleaseCustomOpDomain(made);
          return failed;
        }
      }
      handle_ = made;
    }
    return api_.AddCustomOpDomain(options, handle_);
  }

 private:
  const OrtApi& api_;
  CustomOps ops_;
  OrtCustomOpDomain* handle_ = nullptr;
};

/// One domain per runtime: a process may hold two (Python's and a server's) with different APIs.
OrtStatus* register_with(const OrtApi& api, OrtSessionOptions* options) {
  static std::mutex lock;
  static std::deque<Domain>& domains = *new std::deque<Domain>;
  const std::lock_guard<std::mutex> locked(lock);
  for (Domain& domain : domains) {
    if (&domain.api() == &api) return domain.add_to(options);
  }
  return domains.emplace_back(api).add_to(options);
}

}  // namespace
}  // namespace cineflow::onnxruntime

extern "C" [[gnu::visibility("default")]] OrtStatus* RegisterCustomOps(
    OrtSessionOptions* options, const OrtApiBase* base) noexcept {
  const OrtApi* api = base->GetApi(ORT_API_VERSION);
  if (api == nullptr) {
    char message[128];
    std::snprintf(message, sizeof(message), "cineflow: wanted ONNX Runtime 1.%d or newer; got %s",
                  ORT_API_VERSION, base->GetVersionString());
    return base->GetApi(1)->CreateStatus(ORT_FAIL, message);
  }
  try {
    return cineflow::onnxruntime::register_with(*api, options);
  } catch (const std::exception& error) {
    return api->CreateStatus(ORT_FAIL, error.what());
  }
}
