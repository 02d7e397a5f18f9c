// Composition of motion in one pass: out(p) = displacement(p) + flow(p + displacement(p)).
//
//   | tensor       | image        | volume          | dtypes | strides | device             |
//   |--------------|--------------|-----------------|--------|---------|--------------------|
//   | displacement | [N, 2, h, w] | [N, 3, d, h, w] | f32    | any     | cpu or cuda        |
//   | flow         | [N, 2, H, W] | [N, 3, D, H, W] | f32    | any     | the displacement's |
//   | out          | [N, 2, h, w] | [N, 3, d, h, w] | f32    | any     | the displacement's |
#pragma once

#include "cineflow/border.h"
#include "cineflow/executor.h"
#include "cineflow/status.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

struct ComposeFlowArgs {
  TensorView displacement;         // [N, 2 or 3, (d,) h, w], pixels, on the reference frame's grid
  TensorView flow;                 // [N, 2 or 3, (D,) H, W], pixels, on the current frame's grid
  TensorView out;                  // the displacement's shape; shares no memory with the inputs
  Border border = Border::kZeros;  // for samples of the flow
};

Status check(const ComposeFlowArgs& args) noexcept;
Status compose_flow_cpu(const ComposeFlowArgs& args,
                        const Executor& executor = serial_executor()) noexcept;
Status compose_flow_cuda(const ComposeFlowArgs& args, void* stream) noexcept;

}  // namespace cineflow
