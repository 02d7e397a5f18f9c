// cineflow._C: the kernels for Python arrays. cineflow.ops is the public face.
#include "cineflow/cuda_support.h"
#include "cineflow/executor.h"
#include "cineflow/instruction_set.h"
#include "ops.h"

PYBIND11_MODULE(_C, module) {
  using namespace cineflow;
  module.doc() = "cineflow's kernels; use cineflow.ops";
  module.def("thread_count", &thread_count, "Threads the CPU kernels run on.");
  module.def("set_thread_count", &set_thread_count, pybind11::arg("threads"));
  module.def("cuda_architectures", &cuda_architectures, "Generations with code; '' without CUDA.");
  module.def("cuda_device_count", &cuda_device_count, "Devices that the driver shows.");
  module.def("instruction_set", &instruction_set, "What the CPU kernels are compiled for.");
  module.def("set_instruction_set", &set_instruction_set, pybind11::arg("name"),
             "Choose avx512, avx2 or baseline; False where this machine cannot run it.");
  python::bind_compose_flow(module);
  python::bind_correlation(module);
  python::bind_polar(module);
  python::bind_warp(module);
}
