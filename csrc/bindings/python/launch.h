// Runs an op where its tensors live, with the GIL released.
#pragma once

#include <memory>

#include "cineflow/executor.h"
#include "views.h"

namespace cineflow::python {

/// `cpu` and `cuda` are the op's launchers. Raises the error of a failed Status. An op whose
/// arguments depend on the number of threads passes the pool that it used for them.
template <typename Args, typename Cpu, typename Cuda>
void launch(const Args& args, Device device, std::uintptr_t stream, Cpu cpu, Cuda cuda,
            const std::shared_ptr<const Executor>& pool = thread_pool()) {
  Status status;
  {
    const py::gil_scoped_release unlocked;
    status =
        device == Device::kCuda ? cuda(args, reinterpret_cast<void*>(stream)) : cpu(args, *pool);
  }
  raise_unless_ok(status);
}

}  // namespace cineflow::python
