// The CUDA launchers for volumes. Their arguments are checked, and `out` is not empty.
#pragma once

#include "cineflow/compose_flow.h"
#include "cineflow/correlation.h"
#include "cineflow/scan_convert.h"
#include "cineflow/warp.h"

namespace cineflow {

Status warp_volume_cuda(const WarpArgs& args, void* stream) noexcept;
Status compose_flow_volume_cuda(const ComposeFlowArgs& args, void* stream) noexcept;
Status scan_convert_volume_cuda(const ScanConvertArgs& args, void* stream) noexcept;
Status correlation_volume_cuda(const CorrelationArgs& args, void* stream) noexcept;

}  // namespace cineflow
