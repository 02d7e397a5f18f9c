#include "cineflow/patch_correlation.h"

#include "binding.h"
#include "launch.h"
#include "workspace.h"

namespace cineflow::python {
namespace {

void patch_correlation(py::handle f1, py::handle f2, py::handle points1, py::handle points2,
                       py::handle out, int size1, int size2, int pool1, int pool2, float scale,
                       bool clamp, std::uintptr_t stream) {
  const Borrowed first = borrow("f1", f1);
  const Borrowed second = borrow("f2", f2);
  const Borrowed first_points = borrow("points1", points1);
  const Borrowed second_points = borrow("points2", points2);
  const Borrowed result = borrow_output("out", out);
  PatchCorrelationArgs args{first.view,
                            second.view,
                            first_points.view,
                            second_points.view,
                            result.view,
                            size1,
                            size2,
                            pool1,
                            pool2,
                            scale,
                            clamp ? Border::kClamp : Border::kZeros,
                            nullptr};
  std::shared_ptr<const Executor> pool;
  Workspace workspace;
  if (first.view.device == Device::kCpu) {
    pool = thread_pool();
    const std::int64_t bytes = patch_correlation_workspace(args, pool->width());
    if (bytes > 0) args.workspace = workspace.reserve(bytes);
  }
  launch(args, first.view.device, stream, &patch_correlation_cpu, &patch_correlation_cuda, pool);
}

const Binding binding([](py::module_& module) {
  module.attr("MAX_PATCH") = kMaxPatch;
  module.def("patch_correlation", &patch_correlation, py::arg("f1"), py::arg("f2"),
             py::arg("points1"), py::arg("points2"), py::arg("out"), py::arg("size1"),
             py::arg("size2"), py::arg("pool1"), py::arg("pool2"), py::arg("scale"),
             py::arg("clamp"), py::arg("stream") = 0,
             "Correlation of patches around key points. See cineflow.ops.patch_correlation.");
});

}  // namespace

}  // namespace cineflow::python
