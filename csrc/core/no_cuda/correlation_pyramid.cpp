#include "cineflow/correlation_pyramid.h"

#include "no_cuda/absent.h"

namespace cineflow {

Status correlation_pyramid_cuda(const CorrelationPyramidArgs&, void*) noexcept { return absent(); }
Status correlation_lookup_cuda(const CorrelationLookupArgs&, void*) noexcept { return absent(); }

}  // namespace cineflow
