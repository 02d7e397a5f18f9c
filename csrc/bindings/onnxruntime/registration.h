// Adds an op's description to the library.
#pragma once

#include <memory>
#include <vector>

#include "custom_op.h"

namespace cineflow::onnxruntime {

/// The ops for one runtime. Shared pointers, because each op has a deleter of its own type.
using CustomOps = std::vector<std::shared_ptr<const OrtCustomOp>>;

/// Creates an op's custom ops for one runtime, one per element type, type of result and device.
using Maker = void (*)(const OrtApi& api, CustomOps* ops);

/// Filled by the constructors of the library's statics, in any order.
inline std::vector<Maker>& makers() {
  static std::vector<Maker> all;
  return all;
}

/// `const Registration<Warp> warp;` adds the op that `Warp` describes.
template <typename Op>
class Registration {
 public:
  Registration() { makers().push_back(&make); }

 private:
  static void make(const OrtApi& api, CustomOps* ops) {
    for (const DType features : Op::kFeatures) {
      for (const bool to_bytes : {false, true}) {
        if (to_bytes && !kMayGiveBytes<Op>) continue;
        ops->push_back(std::make_shared<CustomOp<Op>>(api, features, Device::kCpu, to_bytes));
        if constexpr (CINEFLOW_WITH_CUDA) {
          ops->push_back(std::make_shared<CustomOp<Op>>(api, features, Device::kCuda, to_bytes));
        }
      }
    }
  }
};

}  // namespace cineflow::onnxruntime
