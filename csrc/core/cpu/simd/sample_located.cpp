#include "cpu/simd/kernels.h"

namespace cineflow::CINEFLOW_ISA {

void sample_located(const SampleRun& run, const SampleBlocks& blocks) noexcept {
  switch (run.out_dtype) {
    case DType::kF16:
      return sample_into_f16(run, blocks);
    case DType::kBF16:
      return sample_into_bf16(run, blocks);
    case DType::kU8:  // the checks refuse it
    case DType::kF32:
      return sample_into_f32(run, blocks);
  }
}

}  // namespace cineflow::CINEFLOW_ISA
