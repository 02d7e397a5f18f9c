// The CUDA launchers of a build without nvcc: each says so.
#include "cineflow/compose_flow.h"
#include "cineflow/correlation.h"
#include "cineflow/polar.h"
#include "cineflow/warp.h"

namespace cineflow {
namespace {

Status absent() noexcept {
  return failure(Status::Code::kDevice, "a build of cineflow with CUDA",
                 "one built where nvcc was not found");
}

}  // namespace

Status compose_flow_cuda(const ComposeFlowArgs&, void*) noexcept { return absent(); }
Status correlation_cuda(const CorrelationArgs&, void*) noexcept { return absent(); }
Status polar_resample_cuda(const PolarArgs&, void*) noexcept { return absent(); }
Status polar_unresample_cuda(const PolarArgs&, void*) noexcept { return absent(); }
Status warp_cuda(const WarpArgs&, void*) noexcept { return absent(); }

}  // namespace cineflow
