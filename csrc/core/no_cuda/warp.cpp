#include "cineflow/warp.h"

#include "no_cuda/absent.h"

namespace cineflow {

Status warp_cuda(const WarpArgs&, void*) noexcept { return absent(); }

}  // namespace cineflow
