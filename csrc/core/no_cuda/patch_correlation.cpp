#include "cineflow/patch_correlation.h"

#include "no_cuda/absent.h"

namespace cineflow {

Status patch_correlation_cuda(const PatchCorrelationArgs&, void*) noexcept { return absent(); }

}  // namespace cineflow
