#include "cineflow/pair_blocks.h"

#include "no_cuda/absent.h"

namespace cineflow {

Status pair_blocks_cuda(const PairBlocksArgs&, void*) noexcept { return absent(); }

}  // namespace cineflow
