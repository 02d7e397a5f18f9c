// How an op's file adds its functions to cineflow._C.
#pragma once

#include <pybind11/pybind11.h>

namespace cineflow::python {

/// Usage, once per op: const Binding binding([](py::module_& module) { module.def(...); });
/// The function is called when the module is imported.
class Binding {
 public:
  using Define = void (*)(pybind11::module_& module);

  explicit Binding(Define define);
};

/// Calls the functions of all Bindings.
void define_ops(pybind11::module_& module);

}  // namespace cineflow::python
