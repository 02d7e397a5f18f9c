// Python arrays as TensorViews, without a copy: NumPy by its buffer, all others by DLPack.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "cineflow/status.h"
#include "cineflow/tensor_view.h"

namespace cineflow::python {

namespace py = pybind11;

/// A view and whatever keeps its memory alive.
struct Borrowed {
  TensorView view;
  py::object owner;
};

/// Raises cineflow.errors.ArgumentError where `array` is no array of a storage type.
Borrowed borrow(const char* name, py::handle array);

/// The same for an array that is written: raises where NumPy calls it read-only.
Borrowed borrow_output(const char* name, py::handle array);

/// Turns a failed Status into ArgumentError or EngineError; returns where it is ok.
void raise_unless_ok(const Status& status);

[[noreturn]] void raise_argument_error(const std::string& wanted, const std::string& got);

}  // namespace cineflow::python
