// One function per op that adds it to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace cineflow::python {

void bind_compose_flow(pybind11::module_& module);
void bind_correlation(pybind11::module_& module);
void bind_polar(pybind11::module_& module);
void bind_warp(pybind11::module_& module);

}  // namespace cineflow::python
