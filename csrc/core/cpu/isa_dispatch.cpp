// Chooses the instruction set at run time.
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "cineflow/instruction_set.h"
#include "cpu/kernel_table.h"

#if defined(CINEFLOW_X86)
#include <cpuid.h>
#endif

// One table per compiled instruction set (simd/table.cpp). CINEFLOW_X86 is set where there are
// three of them.
namespace cineflow {
namespace baseline {
extern const Kernels kKernels;
}
#if defined(CINEFLOW_X86)
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
}
#endif

namespace {

struct Candidate {
  const Kernels& kernels;
  bool (*runs_here)();
};

#if defined(CINEFLOW_X86)
/// __builtin_cpu_supports of Clang 14 does not know F16C.
bool has_f16c() noexcept {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

// The widest first.
const Candidate kCandidates[] = {
#if defined(CINEFLOW_X86)
    {avx512::kKernels,
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
              __builtin_cpu_supports("fma");
     }},
    {avx2::kKernels,
     [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c(); }},
#endif
    {baseline::kKernels, [] { return true; }},
};

const Kernels* find(const char* name) {
  for (const Candidate& candidate : kCandidates) {
    if (candidate.runs_here() &&
        (name == nullptr || std::strcmp(name, candidate.kernels.name) == 0)) {
      return &candidate.kernels;
    }
  }
  return nullptr;
}

const Kernels* initial() {
  const Kernels* named = find(std::getenv("CINEFLOW_ISA"));
  return named != nullptr ? named : find(nullptr);
}

std::atomic<const Kernels*>& current() {
  static std::atomic<const Kernels*> table{initial()};
  return table;
}

}  // namespace

const Kernels& kernels() noexcept { return *current().load(std::memory_order_relaxed); }

const char* instruction_set() noexcept { return kernels().name; }

bool set_instruction_set(const char* name) noexcept {
  const Kernels* table = find(name);
  if (table != nullptr) current().store(table);
  return table != nullptr;
}

}  // namespace cineflow
