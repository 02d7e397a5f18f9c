#include "cineflow/correlation.h"

#include "binding.h"
#include "launch.h"
#include "workspace.h"

namespace cineflow::python {
namespace {

void correlation(py::handle f1, py::handle f2, py::handle flow, py::handle out, int radius,
                 int dilation, float scale, bool x_major, bool clamp, std::uintptr_t stream) {
  const Borrowed first = borrow("f1", f1);
  const Borrowed second = borrow("f2", f2);
  const Borrowed shift = flow.is_none() ? Borrowed{} : borrow("flow", flow);
  const Borrowed result = borrow_output("out", out);
  CorrelationArgs args{first.view,  second.view, shift.view,
                       result.view, radius,      dilation,
                       scale,       x_major,     clamp ? Border::kClamp : Border::kZeros,
                       nullptr};
  std::shared_ptr<const Executor> pool;
  Workspace workspace;
  if (first.view.device == Device::kCpu) {
    pool = thread_pool();
    const std::int64_t bytes = correlation_workspace(args, pool->width());
    if (bytes > 0) args.workspace = workspace.reserve(bytes);
  }
  launch(args, first.view.device, stream, &correlation_cpu, &correlation_cuda, pool);
}

const Binding binding([](py::module_& module) {
  module.attr("MAX_RADIUS") = kMaxRadius;
  module.attr("MAX_DILATION") = kMaxDilation;
  module.def("correlation", &correlation, py::arg("f1"), py::arg("f2"), py::arg("flow"),
             py::arg("out"), py::arg("radius"), py::arg("dilation"), py::arg("scale"),
             py::arg("x_major"), py::arg("clamp"), py::arg("stream") = 0,
             "Local correlation; with a flow, f2 is warped first. See cineflow.ops.correlation.");
});

}  // namespace

}  // namespace cineflow::python
