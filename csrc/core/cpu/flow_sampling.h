// Samples whole images along a flow: what warp and compose_flow share.
#pragma once

#include "cineflow/border.h"
#include "cineflow/executor.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

/// Arguments as in WarpArgs, already checked; `out` is not empty.
struct FlowSampling {
  const TensorView& src;   // [N, C, H, W]
  const TensorView& flow;  // [N, 2, h, w], pixels of src
  const TensorView& out;   // [N, C, h, w]
  Border border;
  bool adds_flow = false;  // out(p) = flow(p) + src(p + flow(p)); src has 2 channels
};

/// out(p) = src(p + flow(p)), bilinear.
void sample_along_flow(const FlowSampling& args, const Executor& executor) noexcept;

}  // namespace cineflow
