#include "cineflow/warp.h"

#include "cpu/flow_sampling.h"
#include "cpu/volume_sampling.h"

namespace cineflow {

Status warp_cpu(const WarpArgs& args, const Executor& executor) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  if (args.src.rank == kVolumeRank) {
    sample_volumes({args.src, args.flow, args.out, args.border}, executor);
  } else {
    sample_along_flow({args.src, args.flow, args.out, args.border}, executor);
  }
  return status;
}

}  // namespace cineflow
