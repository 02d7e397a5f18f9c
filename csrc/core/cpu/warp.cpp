#include "cineflow/warp.h"

#include "cpu/flow_sampling.h"

namespace cineflow {

Status warp_cpu(const WarpArgs& args, const Executor& executor) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  sample_along_flow({args.src, args.flow, args.out, args.border}, executor);
  return status;
}

}  // namespace cineflow
