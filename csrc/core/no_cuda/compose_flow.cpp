#include "cineflow/compose_flow.h"

#include "no_cuda/absent.h"

namespace cineflow {

Status compose_flow_cuda(const ComposeFlowArgs&, void*) noexcept { return absent(); }

}  // namespace cineflow
