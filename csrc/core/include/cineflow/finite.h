// all_finite: whether every value is a finite number.
//
//   | tensor | layout     | types              | device |
//   |--------|------------|--------------------|--------|
//   | values | contiguous | f32, f16, bf16, u8 | cpu    |
#pragma once

#include "cineflow/status.h"
#include "cineflow/tensor_view.h"

namespace cineflow {

/// Arguments of all_finite_cpu().
struct FiniteArgs {
  TensorView values;       // of any rank
  bool* finite = nullptr;  // out: also true where there are no values
};

Status check(const FiniteArgs& args) noexcept;

/// Looks at each value once, in the caller's thread.
Status all_finite_cpu(const FiniteArgs& args) noexcept;

}  // namespace cineflow
