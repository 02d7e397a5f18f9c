// Samples whole volumes along a flow: what warp and compose_flow share for volumes.
#pragma once

#include "cineflow/border.h"
#include "cineflow/executor.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

/// Arguments as in WarpArgs, already checked; `out` is not empty.
struct VolumeSampling {
  const TensorView& src;   // [N, C, D, H, W]
  const TensorView& flow;  // [N, 3, d, h, w], pixels of src
  const TensorView& out;   // [N, C, d, h, w]
  Border border;
  bool adds_flow = false;          // out(p) = flow(p) + src(p + flow(p)); src has 3 channels
  std::int64_t first_out_row = 0;  // row of the flow's grid that is the first of `out`
};

/// out(p) = src(p + flow(p)), trilinear.
void sample_volumes(const VolumeSampling& args, const Executor& executor) noexcept;

/// The same for rows [first_row, last_row) of one slice, in the calling thread.
void sample_rows(const VolumeSampling& args, std::int64_t image, std::int64_t slice,
                 std::int64_t first_row, std::int64_t last_row) noexcept;

}  // namespace cineflow
