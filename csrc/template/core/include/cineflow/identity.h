// The template of an op: out = src, in out's storage type.
//
//   | tensor | shape        | dtypes             | strides | device      |
//   |--------|--------------|--------------------|---------|-------------|
//   | src    | [N, C, H, W] | f32, f16, bf16, u8 | any     | cpu or cuda |
//   | out    | [N, C, H, W] | f32, f16, bf16     | any     | src's       |
#pragma once

#include "cineflow/executor.h"
#include "cineflow/status.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

struct IdentityArgs {
  TensorView src;  // [N, C, H, W], any unit
  TensorView out;  // [N, C, H, W], src's unit; does not overlap it
};

Status check(const IdentityArgs& args) noexcept;
Status identity_cpu(const IdentityArgs& args,
                    const Executor& executor = serial_executor()) noexcept;
Status identity_cuda(const IdentityArgs& args, void* stream) noexcept;

}  // namespace cineflow
