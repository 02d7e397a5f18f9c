#include "cineflow/lucas_kanade_step.h"

#include "check/rules.h"

namespace cineflow {

Status check(const LucasKanadeStepArgs& args) noexcept {
  const TensorView& previous = args.previous;
  const TensorView& current = args.current;
  const TensorView& mask = args.mask;
  const TensorView& out = args.out;
  return Rules()
      .range("cell", args.cell, 1, kMaxCell)
      .range("refinements", args.refinements, 0, kMaxRefinements)
      .range("sigma", args.sigma, kLeastWindowSigma, kMostWindowSigma)
      .range("trust", args.trust, kLeastWeightScale, kMostWeightScale)
      .range("ridge", args.ridge, kLeastWeightScale, kMostWeightScale)
      .rank("previous", previous, kImageRank)
      .rank("current", current, kImageRank)
      .rank("mask", mask, kImageRank)
      .rank("out", out, kImageRank)
      .dtype("previous", previous, {DType::kF32})
      .dtype("current", current, {DType::kF32})
      .dtype("mask", mask, {DType::kF32})
      .dtype("out", out, {DType::kF32})
      .same_device("current", current, previous)
      .same_device("mask", mask, previous)
      .same_device("out", out, previous)
      .size("previous", previous, 1, 1, "grey levels")
      .size("current", current, 0, previous.sizes[0], "previous's batch")
      .size("current", current, 1, 1, "grey levels")
      .sides("current", current, "previous", previous)
      .size("mask", mask, 0, previous.sizes[0], "previous's batch")
      .size("mask", mask, 1, 1, "a weight")
      .plane("previous", previous)
      .plane("current", current)
      .plane("mask", mask)
      .size("previous", previous, 2, args.cell * mask.sizes[2], "cell times mask's height")
      .size("previous", previous, 3, args.cell * mask.sizes[3], "cell times mask's width")
      .size("out", out, 0, previous.sizes[0], "previous's batch")
      .size("out", out, 1, 2, "x and y")
      .sides("out", out, "mask", mask)
      .plane("out", out)
      .writable("out", out)
      .disjoint("previous", previous, out)
      .disjoint("current", current, out)
      .disjoint("mask", mask, out)
      .status();
}

}  // namespace cineflow
