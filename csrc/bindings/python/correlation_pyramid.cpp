#include "cineflow/correlation_pyramid.h"

#include "binding.h"
#include "launch.h"
#include "workspace.h"

namespace cineflow::python {
namespace {

void correlation_pyramid(py::handle f1, py::handle f2, py::handle out, int levels, float scale,
                         std::uintptr_t stream) {
  const Borrowed first = borrow("f1", f1);
  const Borrowed second = borrow("f2", f2);
  const Borrowed result = borrow_output("out", out);
  CorrelationPyramidArgs args{first.view, second.view, result.view, levels, scale, nullptr};
  std::shared_ptr<const Executor> pool;
  Workspace workspace;
  if (first.view.device == Device::kCpu) {
    pool = thread_pool();
    const std::int64_t bytes = correlation_pyramid_workspace(args, pool->width());
    if (bytes > 0) args.workspace = workspace.reserve(bytes);
  }
  launch(args, first.view.device, stream, &correlation_pyramid_cpu, &correlation_pyramid_cuda,
         pool);
}

void correlation_lookup(py::handle pyramid, py::handle coords, py::handle out, int levels,
                        int radius, std::uintptr_t stream) {
  const Borrowed source = borrow("pyramid", pyramid);
  const Borrowed positions = borrow("coords", coords);
  const Borrowed result = borrow_output("out", out);
  const CorrelationLookupArgs args{source.view, positions.view, result.view, levels, radius};
  launch(args, source.view.device, stream, &correlation_lookup_cpu, &correlation_lookup_cuda);
}

const Binding binding([](py::module_& module) {
  module.attr("MAX_LEVELS") = kMaxLevels;
  module.attr("MAX_LOOKUP_RADIUS") = kMaxLookupRadius;
  module.def("correlation_pyramid", &correlation_pyramid, py::arg("f1"), py::arg("f2"),
             py::arg("out"), py::arg("levels"), py::arg("scale"), py::arg("stream") = 0,
             "see cineflow.ops.correlation_pyramid");
  module.def("correlation_lookup", &correlation_lookup, py::arg("pyramid"), py::arg("coords"),
             py::arg("out"), py::arg("levels"), py::arg("radius"), py::arg("stream") = 0,
             "see cineflow.ops.correlation_lookup");
});

}  // namespace

}  // namespace cineflow::python
