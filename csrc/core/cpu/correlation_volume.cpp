// Local correlation of volumes on the CPU.
//
// Problem: a voxel is compared with (2r + 1)^3 others, in rows of several slices.
//
// Solution: the correlation of two slices is one of images, of which cpu/correlation.cpp has the fast
// form. A task is one slice of f2, which is correlated with the 2r + 1 slices of f1 around it: each
// pair of slices gives (2r + 1)^2 channels of the output. With a flow, the slice of f2 is warped once
// for all of them, into a buffer.
#include "cpu/correlation_volume.h"

#include <algorithm>

#include "cpu/bands.h"
#include "cpu/views.h"
#include "cpu/volume_sampling.h"

namespace cineflow {
namespace {

/// Slices of f2 outside the volume: every element is this one.
float zero = 0.0f;

std::int64_t whole_lines(std::int64_t floats) noexcept { return (floats + 15) / 16 * 16; }

/// One slice of a volume as images [1, C, H, W].
TensorView slice_of(const TensorView& volume, std::int64_t image, std::int64_t slice) noexcept {
  TensorView view = volume;
  view.data = at(volume, image * volume.strides[0] + slice * volume.strides[2]);
  view.rank = kImageRank;
  view.sizes[0] = 1;
  for (int axis = 2; axis < kImageRank; ++axis) {
    view.sizes[axis] = volume.sizes[axis + 1];
    view.strides[axis] = volume.strides[axis + 1];
  }
  return view;
}

/// The arguments for a pair of slices, without the places of its tensors.
CorrelationArgs pair_of(const CorrelationArgs& args) noexcept {
  CorrelationArgs pair = args;
  pair.f1 = slice_of(args.f1, 0, 0);
  pair.f2 = slice_of(args.f2, 0, 0);
  pair.flow = TensorView{};
  return pair;
}

std::int64_t pair_floats(const CorrelationArgs& args) noexcept {
  return whole_lines(image_workspace_floats(pair_of(args)));
}

/// Warped slices of f2 in a buffer: every slice of every image is the same memory.
TensorView buffer_for_slices(const CorrelationArgs& args, float* memory) noexcept {
  TensorView buffer = args.flow;
  buffer.data = memory;
  buffer.sizes[1] = args.f2.sizes[1];
  buffer.strides[0] = buffer.strides[2] = 0;
  buffer.strides[4] = 1;
  buffer.strides[3] = buffer.sizes[4];
  buffer.strides[1] = buffer.sizes[3] * buffer.sizes[4];
  return buffer;
}

/// Correlates slice `slice` of f2, which may lie outside, with every slice of f1 in reach.
void correlate_slice(const CorrelationArgs& args, std::int64_t image, std::int64_t slice,
                     float* workspace) noexcept {
  const TensorView& out = args.out;
  const std::int64_t depth = args.f1.sizes[2];
  const std::int64_t side = 2 * std::int64_t{args.radius} + 1;
  CorrelationArgs pair = pair_of(args);
  pair.workspace = workspace;
  if (slice < 0 || slice >= depth) {
    pair.f2.data = &zero;
    pair.f2.dtype = DType::kF32;
    std::fill_n(pair.f2.strides, kMaxRank, 0);
  } else if (args.warps()) {
    const TensorView buffer = buffer_for_slices(args, workspace + pair_floats(args));
    sample_slice({args.f2, args.flow, buffer, args.border}, image, slice);
    pair.f2 = slice_of(buffer, 0, 0);
  } else {
    pair.f2 = slice_of(args.f2, image, slice);
  }
  for (std::int64_t shift = 0; shift < side; ++shift) {
    const std::int64_t from = slice - (shift - args.radius) * args.dilation;
    if (from < 0 || from >= depth) continue;
    pair.f1 = slice_of(args.f1, image, from);
    pair.out = slice_of(out, image, from);
    const std::int64_t first = args.x_major ? shift : shift * side * side;
    pair.out.data = at(pair.out, first * out.strides[1]);
    pair.out.sizes[1] = side * side;
    if (args.x_major) pair.out.strides[1] *= side;
    correlate_images(pair);
  }
}

}  // namespace

std::int64_t volume_workspace_floats(const CorrelationArgs& args) noexcept {
  const TensorView& f2 = args.f2;
  const std::int64_t warped = args.warps() ? f2.sizes[1] * f2.sizes[3] * f2.sizes[4] : 0;
  return pair_floats(args) + whole_lines(warped);
}

void correlate_volumes(const CorrelationArgs& args, const Executor& executor) noexcept {
  const std::int64_t reach = std::int64_t{args.radius} * args.dilation;
  const std::int64_t slices = args.f1.sizes[2] + 2 * reach;  // of f2, including those outside
  const std::int64_t tasks = args.f1.sizes[0] * slices;
  const std::int64_t pixels = args.out.sizes[3] * args.out.sizes[4];
  const std::int64_t task_cost = args.f1.sizes[1] * args.out.sizes[1] * pixels / 8;
  const std::int64_t bands = band_count(tasks, task_cost, executor);
  const std::int64_t floats = volume_workspace_floats(args);
  for_each_band(
      tasks, bands, executor, [&](std::int64_t band, std::int64_t first, std::int64_t last) {
        float* workspace = static_cast<float*>(args.workspace) + band * floats;
        for (std::int64_t task = first; task < last; ++task) {
          correlate_slice(args, task / slices, task % slices - reach, workspace);
        }
      });
}

}  // namespace cineflow
