#include "cineflow/scan_convert.h"

#include "binding.h"
#include "launch.h"
#include "polar_plans.h"

namespace cineflow::python {
namespace {

void scan_convert(py::handle src, py::handle out, double apex_x, double apex_y, double first_angle,
                  double angle_step, double first_radius, double radius_step, float scale,
                  float offset, double axis_y, double axis_z, double first_tilt, double tilt_step,
                  std::uintptr_t stream) {
  const Borrowed source = borrow("src", src);
  const Borrowed result = borrow_output("out", out);
  ScanConvertArgs args{source.view, result.view,  apex_x,      apex_y,    first_angle,
                       angle_step,  first_radius, radius_step, scale,     offset,
                       axis_y,      axis_z,       first_tilt,  tilt_step, {}};
  // Never destroyed: at exit, threads may still be in a call.
  static auto& plans = *new PolarPlans;
  PolarPlans::Loan loan;
  if (source.view.device == Device::kCpu) {
    loan = plans.lend(scan_convert_plan_bytes(args), [&] { return scan_convert_plan_key(args); });
  }
  args.plan = loan.plan();
  launch(args, source.view.device, stream, scan_convert_cpu, scan_convert_cuda);
  plans.give_back(std::move(loan));
}

const Binding binding([](py::module_& module) {
  module.def("scan_convert", &scan_convert, py::arg("src"), py::arg("out"), py::arg("apex_x"),
             py::arg("apex_y"), py::arg("first_angle"), py::arg("angle_step"),
             py::arg("first_radius"), py::arg("radius_step"), py::arg("scale"), py::arg("offset"),
             py::arg("axis_y") = 0.0, py::arg("axis_z") = 0.0, py::arg("first_tilt") = 0.0,
             py::arg("tilt_step") = 1.0, py::arg("stream") = 0, "see cineflow.ops.scan_convert");
});

}  // namespace
}  // namespace cineflow::python
