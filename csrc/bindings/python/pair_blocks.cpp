#include "cineflow/pair_blocks.h"

#include "binding.h"
#include "launch.h"
#include "views.h"
#include "workspace.h"

namespace cineflow::python {
namespace {

/// The caller's memory on a GPU, an array of f32.
void* scratch_of(const Borrowed& array, const PairBlocksArgs& args) {
  const std::int64_t wanted = pair_blocks_cuda_workspace(args);
  const TensorView& view = array.view;
  const bool fits = view.rank == 1 && view.strides[0] == 1 && view.dtype == DType::kF32 &&
                    view.device == Device::kCuda && view.sizes[0] * 4 >= wanted;
  if (fits) return view.data;
  raise_argument_error("a float32 workspace of " + std::to_string(wanted) + " bytes on the GPU",
                       "another one");
}

void pair_blocks(py::handle previous, py::handle current, py::handle flow, py::handle mask,
                 py::handle out, py::handle workspace, std::uintptr_t stream) {
  const Borrowed first = borrow("previous", previous);
  const Borrowed second = borrow("current", current);
  const Borrowed motion = borrow("flow", flow);
  const Borrowed used = mask.is_none() ? Borrowed{} : borrow("mask", mask);
  const Borrowed result = borrow_output("out", out);
  PairBlocksArgs args{first.view, second.view, motion.view, used.view, result.view};
  raise_unless_ok(check(args));
  std::shared_ptr<const Executor> pool;
  Workspace memory;
  Borrowed scratch;
  if (first.view.device == Device::kCpu) {
    pool = thread_pool();
    args.workspace = memory.reserve(pair_blocks_workspace(args, pool->width()));
  } else if (!workspace.is_none()) {
    scratch = borrow_output("workspace", workspace);
    args.workspace = scratch_of(scratch, args);
  }
  launch(args, first.view.device, stream, &pair_blocks_cpu, &pair_blocks_cuda, pool);
}

/// What an image needs on a GPU, in float32 numbers.
std::int64_t workspace_floats(std::int64_t height, std::int64_t width) {
  PairBlocksArgs args;
  args.flow.sizes[1] = height;
  args.flow.sizes[2] = width;
  return pair_blocks_cuda_workspace(args) / 4;
}

const Binding binding([](py::module_& module) {
  module.attr("PAIR_BLOCK") = kPairBlock;
  module.attr("PAIR_FIELDS") = static_cast<int>(kPairFields);
  module.def("pair_blocks_floats", &workspace_floats, py::arg("height"), py::arg("width"),
             "Size of pair_blocks' workspace on a GPU, in float32.");
  module.def("pair_blocks", &pair_blocks, py::arg("previous"), py::arg("current"), py::arg("flow"),
             py::arg("mask"), py::arg("out"), py::arg("workspace") = py::none(),
             py::arg("stream") = 0,
             "Statistics of a pair over blocks. See cineflow.ops.pair_blocks.");
});

}  // namespace

}  // namespace cineflow::python
