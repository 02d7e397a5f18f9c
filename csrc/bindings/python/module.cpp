// cineflow._C: the kernels for Python arrays. The public functions are in cineflow.ops.
#include <vector>

#include "binding.h"
#include "cineflow/cuda_support.h"
#include "cineflow/executor.h"
#include "cineflow/instruction_set.h"
#include "cineflow/tensor_view.h"

namespace cineflow::python {
namespace {

/// Filled by the constructors of the module's statics, in any order.
std::vector<Binding::Define>& bindings() {
  static std::vector<Binding::Define> all;
  return all;
}

}  // namespace

Binding::Binding(Define define) { bindings().push_back(define); }

void define_ops(pybind11::module_& module) {
  for (const Binding::Define define : bindings()) define(module);
}

}  // namespace cineflow::python

PYBIND11_MODULE(_C, module) {
  using namespace cineflow;
  module.doc() = "cineflow's kernels; use cineflow.ops";
  module.attr("SIDE_LIMIT") = kSideLimit;
  module.attr("PLANE_LIMIT") = kPlaneLimit;
  module.def("thread_count", &thread_count, "Number of threads of the CPU kernels.");
  module.def("set_thread_count", &set_thread_count, pybind11::arg("threads"));
  module.def("cuda_architectures", &cuda_architectures,
             "GPU architectures with code; '' without CUDA.");
  module.def("cuda_device_count", &cuda_device_count, "Number of devices the driver lists.");
  module.def("instruction_set", &instruction_set, "Instruction set of the CPU kernels in use.");
  module.def("set_instruction_set", &set_instruction_set, pybind11::arg("name"),
             "Choose avx512, avx2 or baseline; returns False if this machine cannot run it.");
  python::define_ops(module);
}
