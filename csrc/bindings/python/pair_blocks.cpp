#include "cineflow/pair_blocks.h"

#include "binding.h"
#include "views.h"
#include "workspace.h"

namespace cineflow::python {
namespace {

void pair_blocks(py::handle previous, py::handle current, py::handle flow, py::handle mask,
                 py::handle out) {
  const Borrowed first = borrow("previous", previous);
  const Borrowed second = borrow("current", current);
  const Borrowed motion = borrow("flow", flow);
  const Borrowed used = mask.is_none() ? Borrowed{} : borrow("mask", mask);
  const Borrowed result = borrow_output("out", out);
  PairBlocksArgs args{first.view, second.view, motion.view, used.view, result.view};
  raise_unless_ok(check(args));
  const std::shared_ptr<const Executor> pool = thread_pool();
  Workspace workspace;
  args.workspace = workspace.reserve(pair_blocks_workspace(args, pool->width()));
  Status status;
  {
    const py::gil_scoped_release unlocked;
    status = pair_blocks_cpu(args, *pool);
  }
  raise_unless_ok(status);
}

const Binding binding([](py::module_& module) {
  module.attr("PAIR_BLOCK") = kPairBlock;
  module.attr("PAIR_FIELDS") = static_cast<int>(kPairFields);
  module.def("pair_blocks", &pair_blocks, py::arg("previous"), py::arg("current"), py::arg("flow"),
             py::arg("mask"), py::arg("out"),
             "Statistics of a pair over blocks. See cineflow.ops.pair_blocks.");
});

}  // namespace

}  // namespace cineflow::python
