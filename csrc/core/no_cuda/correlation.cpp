#include "cineflow/correlation.h"

#include "no_cuda/absent.h"

namespace cineflow {

Status correlation_cuda(const CorrelationArgs&, void*) noexcept { return absent(); }

}  // namespace cineflow
