// What the CUDA launchers return in a build without nvcc.
#pragma once

#include "cineflow/status.h"

namespace cineflow {

inline Status absent() noexcept {
  return failure(Status::Code::kDevice, "a build of cineflow with CUDA",
                 "one built where nvcc was not found");
}

}  // namespace cineflow
