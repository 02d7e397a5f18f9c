#include "cineflow/finite.h"

#include "binding.h"
#include "views.h"

namespace cineflow::python {
namespace {

bool all_finite(py::handle values) {
  const Borrowed borrowed = borrow("values", values);
  bool finite = true;
  Status status;
  {
    const py::gil_scoped_release unlocked;
    status = all_finite_cpu({borrowed.view, &finite});
  }
  raise_unless_ok(status);
  return finite;
}

const Binding binding([](py::module_& module) {
  module.def("all_finite", &all_finite, py::arg("values"),
             "Whether every value is finite. See cineflow.ops.finite.");
});

}  // namespace

}  // namespace cineflow::python
