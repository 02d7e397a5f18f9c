#include "cineflow/identity.h"

#include "no_cuda/absent.h"

namespace cineflow {

Status identity_cuda(const IdentityArgs&, void*) noexcept { return absent(); }

}  // namespace cineflow
