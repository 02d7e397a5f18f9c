// What the statistics of a pair over blocks say about its flow.
//
// The parts are those of cineflow.motion.quality, which explains them and their sources;
// cineflow.reference.pair_quality is the same in NumPy. A few hundred blocks take microseconds here
// and ten times that as array operations.
#pragma once

#include <cstdint>

#include "cineflow/pair_blocks.h"

namespace cineflow {

/// The picture of the pair before, by block; see cineflow.motion.blocks.BlockMotion.
struct BlockPicture {
  const float* flow;     // [2][blocks], px
  const double* tissue;  // [blocks]
  const double* grey;    // [blocks]
};

struct PairQualityArgs {
  std::int64_t blocks;
  const float* statistics;     // [kPairFields][blocks], as pair_blocks gives them
  const BlockPicture* before;  // null for the first pair
  double frames;               // of this pair, as a multiple of those of the pair before
  double* tissue;              // out: [blocks], running mean
  double* grey;                // out: [blocks], running mean
};

/// Parts of the quality. Without support (no textured tissue) all others are undefined; the last
/// two are so without a pair before.
struct PairQuality {
  bool supported;
  double photometric_px;
  double correlation;
  double deformation;
  double folded;  // share of the tissue, 0..1
  double appearance;
  double temporal_px;
};

/// Throws std::bad_alloc.
PairQuality pair_quality(const PairQualityArgs& args);

}  // namespace cineflow
