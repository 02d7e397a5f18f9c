#include "cineflow/cuda_support.h"

namespace cineflow {

const char* cuda_architectures() noexcept { return ""; }
int cuda_device_count() noexcept { return 0; }

}  // namespace cineflow
