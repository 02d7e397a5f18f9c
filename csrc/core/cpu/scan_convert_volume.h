// Scan conversion of volumes on the CPU.
#pragma once

#include "cineflow/executor.h"
#include "cineflow/scan_convert.h"

namespace cineflow {

/// Arguments of rank 5, already checked; `out` is not empty.
void scan_convert_volumes(const ScanConvertArgs& args, const Executor& executor) noexcept;

}  // namespace cineflow
