// How an op's file adds its functions to cineflow._C.
#pragma once

#include <pybind11/pybind11.h>

namespace cineflow::python {

/// `define(module)` is called when the module is imported, for every object of this type.
class Binding {
 public:
  using Define = void (*)(pybind11::module_& module);

  explicit Binding(Define define);
};

/// Everything the Bindings define.
void define_ops(pybind11::module_& module);

}  // namespace cineflow::python
