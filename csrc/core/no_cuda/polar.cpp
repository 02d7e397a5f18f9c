#include "cineflow/polar.h"

#include "no_cuda/absent.h"

namespace cineflow {

Status polar_resample_cuda(const PolarArgs&, void*) noexcept { return absent(); }
Status polar_unresample_cuda(const PolarArgs&, void*) noexcept { return absent(); }

}  // namespace cineflow
