#include "cineflow/compose_flow.h"

#include "cpu/flow_sampling.h"

namespace cineflow {

/// The flow is sampled along the displacement, which is then added.
Status compose_flow_cpu(const ComposeFlowArgs& args, const Executor& executor) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  FlowSampling sampling{args.flow, args.displacement, args.out, args.border};
  sampling.adds_flow = true;
  sample_along_flow(sampling, executor);
  return status;
}

}  // namespace cineflow
