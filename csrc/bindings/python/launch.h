// Runs an op where its tensors live, with the GIL released.
#pragma once

#include <memory>

#include "cineflow/executor.h"
#include "views.h"

namespace cineflow::python {

/// Runs `cpu(args, pool)`, or `cuda(args, stream)` where the tensors are on a GPU. Raises the error
/// of a failed Status. An op whose arguments depend on the number of threads passes the pool that
/// it used for them; otherwise the pool is asked for here, and a GPU call never starts its threads.
template <typename Args, typename Cpu, typename Cuda>
void launch(const Args& args, Device device, std::uintptr_t stream, Cpu cpu, Cuda cuda,
            std::shared_ptr<const Executor> pool = nullptr) {
  if (device == Device::kCpu && pool == nullptr) pool = thread_pool();
  Status status;
  {
    const py::gil_scoped_release unlocked;
    status =
        device == Device::kCuda ? cuda(args, reinterpret_cast<void*>(stream)) : cpu(args, *pool);
  }
  raise_unless_ok(status);
}

}  // namespace cineflow::python
