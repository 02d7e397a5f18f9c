// How an op's file adds its description to the library.
#pragma once

#include <memory>
#include <vector>

#include "custom_op.h"

namespace cineflow::onnxruntime {

/// What one runtime is given; shared, so that each op keeps its own deleter.
using CustomOps = std::vector<std::shared_ptr<const OrtCustomOp>>;

/// Makes an op's custom ops, one per element type and device, for one runtime.
using Maker = void (*)(const OrtApi& api, CustomOps* ops);

/// Filled while the library's statics are made, whatever their order.
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
      ops->push_back(std::make_shared<CustomOp<Op>>(api, features, Device::kCpu));
      if constexpr (CINEFLOW_WITH_CUDA) {
        ops->push_back(std::make_shared<CustomOp<Op>>(api, features, Device::kCuda));
      }
    }
  }
};

}  // namespace cineflow::onnxruntime
