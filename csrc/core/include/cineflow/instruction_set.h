// One build runs on any machine of its architecture: the CPU kernels are compiled for several
// instruction sets, and the widest that the machine has is chosen when they are first used.
#pragma once

namespace cineflow {

/// "avx512", "avx2" or "baseline". CINEFLOW_ISA in the environment sets the first choice.
const char* instruction_set() noexcept;

/// False, and nothing changes, where the name is unknown or this machine cannot run it.
bool set_instruction_set(const char* name) noexcept;

}  // namespace cineflow
