// Numbers that nobody can guess.
#pragma once

#include <sys/random.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "cineflow_client.hpp"

namespace cineflow_client {

/// 64 bits from the system. Throws kCineflowClientError: a clock in their place could be guessed.
inline std::uint64_t draw_bits() {
  std::uint64_t drawn = 0;
  while (getrandom(&drawn, sizeof(drawn), 0) != sizeof(drawn)) {
    if (errno == EINTR) continue;
    throw Error(Code::kCineflowClientError, "random numbers from the system (getrandom)",
                std::strerror(errno), "Allow the call in the sandbox that this program runs in.");
  }
  return drawn;
}

}  // namespace cineflow_client
