#include "cineflow/lucas_kanade_step.h"

#include "binding.h"
#include "launch.h"
#include "workspace.h"

namespace cineflow::python {
namespace {

/// The memory of an array of f32 on a GPU; null without one.
void* scratch_of(const Borrowed& array, const LucasKanadeStepArgs& args) {
  const std::int64_t wanted = lucas_kanade_step_cuda_workspace(args);
  const TensorView& view = array.view;
  const std::int64_t given = view.rank == 1 && view.strides[0] == 1 ? view.sizes[0] * 4 : 0;
  if (wanted == 0 || (given >= wanted && view.dtype == DType::kF32)) return view.data;
  Status status = failure(Status::Code::kArgument, "", "%lld bytes", static_cast<long long>(given));
  std::snprintf(status.wanted, sizeof(status.wanted), "a workspace of %lld bytes",
                static_cast<long long>(wanted));
  raise_unless_ok(status);
  return nullptr;
}

void lucas_kanade_step(py::handle previous, py::handle current, py::handle mask, py::handle out,
                       int cell, float sigma, int refinements, float trust, float ridge,
                       py::handle workspace, std::uintptr_t stream) {
  const Borrowed before = borrow("previous", previous);
  const Borrowed after = borrow("current", current);
  const Borrowed counts = borrow("mask", mask);
  const Borrowed result = borrow_output("out", out);
  LucasKanadeStepArgs args{before.view, after.view, counts.view, result.view, cell,
                           refinements, sigma,      trust,       ridge,       nullptr};
  std::shared_ptr<const Executor> pool;
  Workspace memory;
  Borrowed scratch;
  if (before.view.device == Device::kCpu) {
    pool = thread_pool();
    const std::int64_t bytes = lucas_kanade_step_workspace(args, pool->width());
    if (bytes > 0) args.workspace = memory.reserve(bytes);
  } else if (!workspace.is_none()) {
    scratch = borrow_output("workspace", workspace);
    args.workspace = scratch_of(scratch, args);
  }
  launch(args, before.view.device, stream, &lucas_kanade_step_cpu, &lucas_kanade_step_cuda, pool);
}

const Binding binding([](py::module_& module) {
  module.attr("STEP_PLANES") = kStepPlanes;
  module.attr("MAX_CELL") = kMaxCell;
  module.attr("MAX_REFINEMENTS") = kMaxRefinements;
  module.attr("WINDOW_SIGMAS") = py::make_tuple(kLeastWindowSigma, kMostWindowSigma);
  module.attr("LARGEST_VARIANCE") = kLargestVariance;
  module.def("lucas_kanade_step", &lucas_kanade_step, py::arg("previous"), py::arg("current"),
             py::arg("mask"), py::arg("out"), py::arg("cell"), py::arg("sigma"),
             py::arg("refinements"), py::arg("trust"), py::arg("ridge"),
             py::arg("workspace") = py::none(), py::arg("stream") = 0,
             "One level of dense Lucas-Kanade. See cineflow.ops.lucas_kanade_step.");
});

}  // namespace

}  // namespace cineflow::python
