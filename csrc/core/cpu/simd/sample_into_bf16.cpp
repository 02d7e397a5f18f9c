#include "cpu/simd/kernels.h"
#include "cpu/simd/sample_located.h"

namespace cineflow::CINEFLOW_ISA {

void sample_into_bf16(const SampleRun& run, const SampleBlocks& blocks) noexcept {
  sample_into<BFloat16>(run, blocks);
}

}  // namespace cineflow::CINEFLOW_ISA
