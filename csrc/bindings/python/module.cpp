// cineflow._C: the kernels for Python arrays. cineflow.ops is the public face.
#include <vector>

#include "binding.h"
#include "cineflow/cuda_support.h"
#include "cineflow/executor.h"
#include "cineflow/instruction_set.h"
#include "cineflow/tensor_view.h"

namespace cineflow::python {
namespace {

/// Filled while the module's own statics are made, whatever their order.
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
  module.def("thread_count", &thread_count, "Threads the CPU kernels run on.");
  module.def("set_thread_count", &set_thread_count, pybind11::arg("threads"));
  module.def("cuda_architectures", &cuda_architectures, "Generations with code; '' without CUDA.");
  module.def("cuda_device_count", &cuda_device_count, "Devices that the driver shows.");
  module.def("instruction_set", &instruction_set, "What the CPU kernels are compiled for.");
  module.def("set_instruction_set", &set_instruction_set, pybind11::arg("name"),
             "Choose avx512, avx2 or baseline; False where this machine cannot run it.");
  python::define_ops(module);
}
