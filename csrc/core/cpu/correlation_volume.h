// Correlation of volumes.
#pragma once

#include "cineflow/correlation.h"
#include "cineflow/executor.h"

namespace cineflow {

/// Arguments for volumes, already checked, with a workspace; `out` is not empty.
void correlate_volumes(const CorrelationArgs& args, const Executor& executor) noexcept;

/// Floats of workspace that correlate_volumes needs for each thread, a multiple of 16.
std::int64_t volume_workspace_floats(const CorrelationArgs& args) noexcept;

}  // namespace cineflow
