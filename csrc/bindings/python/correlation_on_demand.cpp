#include "cineflow/correlation_on_demand.h"

#include "binding.h"
#include "launch.h"
#include "workspace.h"

namespace cineflow::python {
namespace {

void feature_pyramid(py::handle f2, py::handle out, int levels, std::uintptr_t stream) {
  const Borrowed source = borrow("f2", f2);
  const Borrowed result = borrow_output("out", out);
  const FeaturePyramidArgs args{source.view, result.view, levels};
  launch(args, source.view.device, stream, &feature_pyramid_cpu, &feature_pyramid_cuda);
}

void correlation_on_demand(py::handle f1, py::handle features, py::handle coords, py::handle out,
                           int levels, int radius, float scale, std::uintptr_t stream) {
  const Borrowed first = borrow("f1", f1);
  const Borrowed second = borrow("features", features);
  const Borrowed positions = borrow("coords", coords);
  const Borrowed result = borrow_output("out", out);
  CorrelationOnDemandArgs args{first.view, second.view, positions.view, result.view,
                               levels,     radius,      scale,          nullptr};
  std::shared_ptr<const Executor> pool;
  Workspace workspace;
  if (first.view.device == Device::kCpu) {
    pool = thread_pool();
    const std::int64_t bytes = correlation_on_demand_workspace(args, pool->width());
    if (bytes > 0) args.workspace = workspace.reserve(bytes);
  }
  launch(args, first.view.device, stream, &correlation_on_demand_cpu, &correlation_on_demand_cuda,
         pool);
}

const Binding binding([](py::module_& module) {
  module.def("feature_pyramid", &feature_pyramid, py::arg("f2"), py::arg("out"), py::arg("levels"),
             py::arg("stream") = 0, "see cineflow.ops.feature_pyramid");
  module.def("correlation_on_demand", &correlation_on_demand, py::arg("f1"), py::arg("features"),
             py::arg("coords"), py::arg("out"), py::arg("levels"), py::arg("radius"),
             py::arg("scale"), py::arg("stream") = 0, "see cineflow.ops.correlation_on_demand");
});

}  // namespace

}  // namespace cineflow::python
