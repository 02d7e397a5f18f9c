#include "cineflow/lucas_kanade_step.h"

#include "no_cuda/absent.h"

namespace cineflow {

Status lucas_kanade_step_cuda(const LucasKanadeStepArgs&, void*) noexcept { return absent(); }

}  // namespace cineflow
