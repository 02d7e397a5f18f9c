#include "cineflow/correlation_on_demand.h"

#include "no_cuda/absent.h"

namespace cineflow {

Status feature_pyramid_cuda(const FeaturePyramidArgs&, void*) noexcept { return absent(); }
Status correlation_on_demand_cuda(const CorrelationOnDemandArgs&, void*) noexcept {
  return absent();
}

}  // namespace cineflow
