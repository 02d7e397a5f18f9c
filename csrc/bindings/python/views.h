// Python arrays as TensorViews, without a copy: NumPy through its buffer, others through DLPack.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "cineflow/status.h"
#include "cineflow/tensor_view.h"

namespace cineflow::python {

namespace py = pybind11;

/// A view and the object that keeps its memory alive.
struct Borrowed {
  TensorView view;
  py::object owner;
};

/// Raises cineflow.errors.ArgumentError if `array` is not an array of a storage type.
Borrowed borrow(const char* name, py::handle array);

/// The same for an array that is written. Also raises if NumPy marks it read-only.
Borrowed borrow_output(const char* name, py::handle array);

/// Raises ArgumentError or EngineError for a failed Status.
void raise_unless_ok(const Status& status);

[[noreturn]] void raise_argument_error(const std::string& wanted, const std::string& got);

}  // namespace cineflow::python
