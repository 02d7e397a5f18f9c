#include "cineflow/warp.h"

#include "binding.h"
#include "launch.h"

namespace cineflow::python {
namespace {

void warp(py::handle src, py::handle flow, py::handle out, bool clamp, std::uintptr_t stream) {
  const Borrowed source = borrow("src", src);
  const Borrowed shift = borrow("flow", flow);
  const Borrowed result = borrow_output("out", out);
  const WarpArgs args{source.view, shift.view, result.view,
                      clamp ? Border::kClamp : Border::kZeros};
  launch(args, source.view.device, stream, &warp_cpu, &warp_cuda);
}

const Binding binding([](py::module_& module) {
  module.def("warp", &warp, py::arg("src"), py::arg("flow"), py::arg("out"), py::arg("clamp"),
             py::arg("stream") = 0, "out(p) = src(p + flow(p)); see cineflow.ops.warp");
});

}  // namespace

}  // namespace cineflow::python
