// The instruction set of the CPU kernels. One build has kernels for several; the widest that the
// machine supports is chosen on first use.
#pragma once

namespace cineflow {

/// "avx512", "avx2" or "baseline". The environment variable CINEFLOW_ISA sets the initial one.
const char* instruction_set() noexcept;

/// Returns false, and changes nothing, if the name is unknown or this machine cannot run it.
bool set_instruction_set(const char* name) noexcept;

}  // namespace cineflow
