#include "cineflow/identity.h"

#include "binding.h"
#include "launch.h"

namespace cineflow::python {
namespace {

void identity(py::handle src, py::handle out, std::uintptr_t stream) {
  const Borrowed source = borrow("src", src);
  const Borrowed result = borrow_output("out", out);
  const IdentityArgs args{source.view, result.view};
  launch(args, source.view.device, stream, &identity_cpu, &identity_cuda);
}

const Binding binding([](py::module_& module) {
  module.def("identity", &identity, py::arg("src"), py::arg("out"), py::arg("stream") = 0,
             "out = src");
});

}  // namespace

}  // namespace cineflow::python
