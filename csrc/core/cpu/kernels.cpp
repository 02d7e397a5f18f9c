#include "cpu/kernels.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "cineflow/instruction_set.h"

#if defined(CINEFLOW_X86)
#include <cpuid.h>
#endif

// What each compiled instruction set defines; CINEFLOW_X86 is set where there are three of them.
#define CINEFLOW_DECLARE(isa)                                                                 \
  namespace cineflow::isa {                                                                   \
  void find_places(const SampleChunk& chunk, const Coordinates& coordinates,                  \
                   const Places& places) noexcept;                                            \
  bool sample_in_one_pass(const SampleChunk& chunk, const Coordinates& coordinates) noexcept; \
  void sample(const SampleChunk& chunk, const Places& places) noexcept;                       \
  void correlate(const CorrelationTile& tile) noexcept;                                       \
  void follow_ray(const RayRun& run) noexcept;                                                \
  void to_polar(const PolarRun& run) noexcept;                                                \
  }
#define CINEFLOW_TABLE(isa)                                    \
  {#isa,          &isa::find_places, &isa::sample_in_one_pass, \
   &isa::sample,  &isa::correlate,   &isa::follow_ray,         \
   &isa::to_polar}
CINEFLOW_DECLARE(baseline)
#if defined(CINEFLOW_X86)
CINEFLOW_DECLARE(avx2)
CINEFLOW_DECLARE(avx512)
#endif

namespace cineflow {
namespace {

struct Candidate {
  Kernels kernels;
  bool (*runs_here)();
};

#if defined(CINEFLOW_X86)
/// Clang 14's __builtin_cpu_supports has no word for it.
bool has_f16c() noexcept {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

// The widest first.
const Candidate kCandidates[] = {
#if defined(CINEFLOW_X86)
    {CINEFLOW_TABLE(avx512),
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
              __builtin_cpu_supports("fma");
     }},
    {CINEFLOW_TABLE(avx2),
     [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c(); }},
#endif
    {CINEFLOW_TABLE(baseline), [] { return true; }},
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
