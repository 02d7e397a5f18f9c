// The workspace of a CPU launcher.
#pragma once

#include <cstdint>

#include "cineflow/status.h"

namespace cineflow {

/// A failure where a launcher's workspace is absent, or does not begin at a cache line.
inline Status check_workspace(const void* workspace) noexcept {
  constexpr std::uintptr_t kAlignment = 64;
  if (workspace != nullptr && reinterpret_cast<std::uintptr_t>(workspace) % kAlignment == 0) {
    return {};
  }
  return failure(Status::Code::kArgument, "a workspace aligned to 64 bytes", "%p", workspace);
}

}  // namespace cineflow
