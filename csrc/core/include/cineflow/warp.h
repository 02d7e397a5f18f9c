// Backward warp by a pixel flow: out(p) = src(p + flow(p)), bilinear in images and trilinear in
// volumes.
//
//   | tensor | image        | volume          | dtypes             | strides | device      |
//   |--------|--------------|-----------------|--------------------|---------|-------------|
//   | src    | [N, C, H, W] | [N, C, D, H, W] | f32, f16, bf16, u8 | any     | cpu or cuda |
//   | flow   | [N, 2, h, w] | [N, 3, d, h, w] | f32                | any     | src's       |
//   | out    | [N, C, h, w] | [N, C, d, h, w] | f32, f16, bf16     | any     | src's       |
//
// The flow's grid may differ in size from the source's; p is a pixel of the flow's grid.
// Coordinates, products and sums are f32.
#pragma once

#include "cineflow/border.h"
#include "cineflow/executor.h"
#include "cineflow/status.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

struct WarpArgs {
  TensorView src;   // [N, C, (D,) H, W], any unit
  TensorView flow;  // [N, 2 or 3, (d,) h, w], pixels of src; channel 0 = x (right), 1 = y (down),
                    // 2 = z (the next slice)
  TensorView out;   // [N, C, (d,) h, w], src's unit; shares no memory with the inputs
  Border border = Border::kZeros;
};

/// Checks the table above. Does no work on a device.
Status check(const WarpArgs& args) noexcept;

/// Does not allocate or throw. Does nothing for an empty output.
Status warp_cpu(const WarpArgs& args, const Executor& executor = serial_executor()) noexcept;

/// Enqueues on `stream` (a cudaStream_t) and returns without synchronising.
Status warp_cuda(const WarpArgs& args, void* stream) noexcept;

}  // namespace cineflow
