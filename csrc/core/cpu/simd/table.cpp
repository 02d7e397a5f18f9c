// The table of the instruction set that this file is compiled for.
#include "cpu/simd/kernels.h"

#define CINEFLOW_TEXT(name) #name
#define CINEFLOW_NAME_OF(isa) CINEFLOW_TEXT(isa)

namespace cineflow::CINEFLOW_ISA {

extern const Kernels kKernels;
constexpr Kernels kKernels = {
    CINEFLOW_NAME_OF(CINEFLOW_ISA),
    &locate_samples,
    &sample_located,
    &sample_volume,
    &pack_row,
    &correlate,
    &correlate_row,
    &pool_plane,
    &look_up,
    &dot_row,
    &follow_ray,
    &to_polar,
    &prepare_pair_row,
    &sum_pair_block,
    &sum_block,
    &all_finite,
    &sample_patch,
    &multiply_matrices,
    &locate_panel_row,
    &sample_panel,
    &pair_pixels,
    &gather_cells,
    &sum_window,
    &weigh_cells,
    &solve_cells,
    &explain_cells,
    &leave_cells,
    &refine_cells,
};

}  // namespace cineflow::CINEFLOW_ISA
