// The kernels of the instruction set that this file is compiled for.
#pragma once

#include "cpu/kernel_table.h"

namespace cineflow::CINEFLOW_ISA {

Kernels::LocateSamples locate_samples;
Kernels::SampleLocated sample_located;
// What sample_located() calls for each type of result.
Kernels::SampleLocated sample_into_f32;
Kernels::SampleLocated sample_into_f16;
Kernels::SampleLocated sample_into_bf16;
Kernels::SampleVolume sample_volume;
Kernels::PackRow pack_row;
Kernels::Correlate correlate;
Kernels::CorrelateRow correlate_row;
Kernels::PoolPlane pool_plane;
Kernels::LookUp look_up;
Kernels::DotRows dot_row;
Kernels::FollowRay follow_ray;
Kernels::ToPolar to_polar;
Kernels::PreparePairRow prepare_pair_row;
Kernels::SumPairBlock sum_pair_block;
Kernels::SumBlock sum_block;
Kernels::AllFinite all_finite;
Kernels::SamplePatch sample_patch;
Kernels::MultiplyMatrices multiply_matrices;
Kernels::LocatePanelRow locate_panel_row;
Kernels::SamplePanel sample_panel;
Kernels::PairPixels pair_pixels;
Kernels::GatherCells gather_cells;
Kernels::SumWindow sum_window;
Kernels::OnCells weigh_cells;
Kernels::OnCells solve_cells;
Kernels::OnCells explain_cells;
Kernels::OnCells leave_cells;
Kernels::OnCells refine_cells;

}  // namespace cineflow::CINEFLOW_ISA
