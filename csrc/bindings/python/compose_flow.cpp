#include "cineflow/compose_flow.h"

#include "binding.h"
#include "launch.h"

namespace cineflow::python {
namespace {

void compose_flow(py::handle displacement, py::handle flow, py::handle out, bool clamp,
                  std::uintptr_t stream) {
  const Borrowed so_far = borrow("displacement", displacement);
  const Borrowed next = borrow("flow", flow);
  const Borrowed result = borrow_output("out", out);
  const ComposeFlowArgs args{so_far.view, next.view, result.view,
                             clamp ? Border::kClamp : Border::kZeros};
  launch(args, so_far.view.device, stream, &compose_flow_cpu, &compose_flow_cuda);
}

const Binding binding([](py::module_& module) {
  module.def("compose_flow", &compose_flow, py::arg("displacement"), py::arg("flow"),
             py::arg("out"), py::arg("clamp"), py::arg("stream") = 0,
             "out(p) = displacement(p) + flow(p + displacement(p))");
});

}  // namespace

}  // namespace cineflow::python
