#include "cineflow/polar.h"

#include "binding.h"
#include "launch.h"
#include "polar_plans.h"

namespace cineflow::python {
namespace {

using Launcher = Status (*)(const PolarArgs&, const Executor&) noexcept;
using CudaLauncher = Status (*)(const PolarArgs&, void*) noexcept;

/// Both directions take the same arguments.
template <Launcher kCpu, CudaLauncher kCuda>
void polar(py::handle src, py::handle centre, py::handle out, double first_angle, double angle_step,
           double first_radius, double radius_step, bool wraps, bool clamp, float scale,
           float offset, std::uintptr_t stream) {
  const Borrowed source = borrow("src", src);
  const Borrowed middle = borrow("centre", centre);
  const Borrowed result = borrow_output("out", out);
  PolarArgs args{source.view, middle.view, result.view,
                 first_angle, angle_step,  first_radius,
                 radius_step, wraps,       clamp ? Border::kClamp : Border::kZeros,
                 scale,       offset,      {}};
  // Never destroyed: at exit, threads may still be in a call.
  static auto& plans = *new PolarPlans;
  PolarPlans::Loan loan;
  if (source.view.device == Device::kCpu) {
    loan = plans.lend(polar_plan_bytes(args), [&] { return polar_plan_key(args); });
  }
  args.plan = loan.plan();
  launch(args, source.view.device, stream, kCpu, kCuda);
  plans.give_back(std::move(loan));
}

template <typename Function>
void define(py::module_& module, const char* name, Function function, const char* doc) {
  module.def(name, function, py::arg("src"), py::arg("centre"), py::arg("out"),
             py::arg("first_angle"), py::arg("angle_step"), py::arg("first_radius"),
             py::arg("radius_step"), py::arg("wraps"), py::arg("clamp"), py::arg("scale"),
             py::arg("offset"), py::arg("stream") = 0, doc);
}

const Binding binding([](py::module_& module) {
  define(module, "polar_resample", &polar<&polar_resample_cpu, &polar_resample_cuda>,
         "Cartesian to polar; see cineflow.ops.polar_resample");
  define(module, "polar_unresample", &polar<&polar_unresample_cpu, &polar_unresample_cuda>,
         "Polar to Cartesian; see cineflow.ops.polar_unresample");
});

}  // namespace

}  // namespace cineflow::python
