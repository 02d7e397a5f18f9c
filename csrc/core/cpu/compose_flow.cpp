#include "cineflow/compose_flow.h"

#include "cpu/flow_sampling.h"
#include "cpu/volume_sampling.h"

namespace cineflow {

/// The flow is sampled along the displacement, which is then added.
Status compose_flow_cpu(const ComposeFlowArgs& args, const Executor& executor) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  if (args.flow.rank == kVolumeRank) {
    sample_volumes({args.flow, args.displacement, args.out, args.border, true}, executor);
  } else {
    sample_along_flow({args.flow, args.displacement, args.out, args.border, true}, executor);
  }
  return status;
}

}  // namespace cineflow
