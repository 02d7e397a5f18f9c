// Correlation of volumes, and what it uses of the correlation of images.
#pragma once

#include "cineflow/correlation.h"
#include "cineflow/executor.h"

namespace cineflow {

/// Arguments for volumes, already checked, with a workspace; `out` is not empty.
void correlate_volumes(const CorrelationArgs& args, const Executor& executor) noexcept;

/// Floats of workspace that correlate_volumes needs for each thread, a multiple of 16.
std::int64_t volume_workspace_floats(const CorrelationArgs& args) noexcept;

/// The correlation of images in the calling thread. Arguments are checked, and the workspace has
/// image_workspace_floats(), aligned to 64 bytes.
void correlate_images(const CorrelationArgs& args) noexcept;
std::int64_t image_workspace_floats(const CorrelationArgs& args) noexcept;

}  // namespace cineflow
