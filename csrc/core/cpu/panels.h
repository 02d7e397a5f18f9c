// Samples images at positions that do not depend on the pixels: the polar ops and scan conversion.
//
// Problem: neighbouring samples of one output row lie in different rows of the source. A sector of
// 192 lines of 1024 samples even has all of them in few sets of the L1 cache, so that each row of
// the output fetches the same cache lines again. And frame after frame has the same positions.
//
// Solution: the output is split into panels of up to 8 rows. A panel is located once for all
// frames, and its samples lie column by column (PanelRun). A plan keeps all panels for later calls.
//
// Usage: fill(image, row, first, count, x, y) computes the positions of a part of one row; each
//   band of panels has a copy of it, which may keep a state.
//   sample_panels(PanelSampling{...}, executor, fill);
#pragma once

#include <algorithm>
#include <cstring>

#include "cineflow/polar.h"
#include "cpu/chunks.h"
#include "cpu/runs.h"

namespace cineflow {

struct PanelSampling {
  TensorView src, out;  // [N, C, H, W]
  Border border;
  bool wraps;   // as in SampleRun
  bool shared;  // all images have the same positions
  float scale, offset;
  PolarPlan plan;  // of plan_bytes(out) bytes; only where `shared`
};

/// Samples in whole blocks.
inline std::int64_t whole_blocks(std::int64_t samples) noexcept {
  return (samples + kBlockSamples - 1) / kBlockSamples * kBlockSamples;
}

/// A panel of the output, in pixels.
struct Panel {
  std::int64_t row, column;
  int rows, columns;
};

/// How an output is split into panels: the same for any number of threads. Panels begin at the same
/// columns in an output of any width, so that a position has the same bits in all of them.
class PanelLayout {
 public:
  explicit PanelLayout(const TensorView& out)
      : height_(out.sizes[2]),
        width_(out.sizes[3]),
        across_((width_ + kPanelColumns - 1) / kPanelColumns),
        down_((height_ + kPanelRows - 1) / kPanelRows) {}

  std::int64_t count() const { return down_ * across_; }

  Panel at(std::int64_t index) const {
    const std::int64_t row = index / across_ * kPanelRows;
    const std::int64_t column = index % across_ * kPanelColumns;
    return {row, column, static_cast<int>(std::min<std::int64_t>(kPanelRows, height_ - row)),
            static_cast<int>(std::min<std::int64_t>(kPanelColumns, width_ - column))};
  }

  /// Samples of all panels in a plan.
  std::int64_t samples() const { return down_ * kPanelRows * pitch(); }

  /// The first sample of a panel in a plan.
  std::int64_t first_sample(const Panel& panel) const {
    return panel.row * pitch() + kPanelRows * panel.column;
  }

 private:
  /// Columns of an output in whole blocks.
  std::int64_t pitch() const { return whole_blocks(width_); }

  std::int64_t height_, width_;
  std::int64_t across_, down_;  // panels
};

/// Bytes of a plan for an output of at least one pixel.
inline std::int64_t plan_bytes(const TensorView& out) noexcept {
  return sample_block_bytes(PanelLayout(out).samples());
}

/// Whether images are sampled with vectors along their channels, row by row. Never into bytes.
inline bool goes_along_channels(const TensorView& src, const TensorView& out) noexcept {
  constexpr std::int64_t kManyChannels = 8;
  return src.strides[1] == 1 && out.strides[1] == 1 && src.sizes[1] >= kManyChannels &&
         out.dtype != DType::kU8;
}

/// Locates and samples single panels.
class PanelSampler {
 public:
  explicit PanelSampler(const PanelSampling& args)
      : args_(args), by_rows_(goes_along_channels(args.src, args.out)) {}

  template <typename Fill>
  void locate(std::int64_t image, const Panel& panel, Fill& fill, const SampleBlocks& blocks,
              PositionScratch& scratch) const noexcept {
    const std::int64_t pitch = whole_blocks(panel.columns);
    for (int row = 0; row < panel.rows; ++row) {
      float* const x = scratch.x + row * pitch;
      float* const y = scratch.y + row * pitch;
      fill(image, panel.row + row, panel.column, panel.columns, x, y);
      const SampleRun run = run_of(image, panel, row);
      if (by_rows_) {
        kernels().locate_samples(run, {x, y}, blocks.from(row * pitch));
      } else {
        kernels().locate_panel_row(run, {x, y}, blocks.from(row * kBlockSamples), panel.rows);
      }
    }
  }

  void sample(std::int64_t image, const Panel& panel, const SampleBlocks& blocks) const noexcept {
    if (!by_rows_) {
      return kernels().sample_panel(
          {run_of(image, panel, 0), panel.rows, panel.columns, args_.out.strides[2]}, blocks);
    }
    for (int row = 0; row < panel.rows; ++row) {
      kernels().sample_located(run_of(image, panel, row),
                               blocks.from(row * whole_blocks(panel.columns)));
    }
  }

 private:
  SampleRun run_of(std::int64_t image, const Panel& panel, int row) const noexcept {
    const TensorView& out = args_.out;
    SampleRun run = make_run(
        args_.src, image, args_.border, out,
        image * out.strides[0] + (panel.row + row) * out.strides[2] + panel.column * out.strides[3],
        panel.columns);
    run.wraps = args_.wraps;
    run.scale = args_.scale;
    run.bias = args_.offset;
    return run;
  }

  const PanelSampling& args_;
  bool by_rows_;
};

/// Most bytes of an image that is prefetched while the one before is sampled: both stay in the L2
/// cache.
constexpr std::int64_t kLargestPrefetch = std::int64_t{512} << 10;

/// Prefetches rows [first, last) of an image whose pixels are dense. Always inlined: GCC removes
/// calls of a function that only prefetches.
__attribute__((always_inline)) inline void prefetch_rows(const TensorView& src, std::int64_t image,
                                                         std::int64_t first,
                                                         std::int64_t last) noexcept {
  constexpr std::int64_t kLine = 64;
  const std::int64_t channels = src.sizes[1];
  const std::int64_t item = item_size(src.dtype);
  const bool channels_last = channels > 1 && src.strides[1] == 1 && src.strides[3] == channels;
  if (!channels_last && src.strides[3] != 1) return;
  if (channels * src.sizes[2] * src.sizes[3] * item > kLargestPrefetch) return;
  const std::int64_t row_bytes = src.sizes[3] * src.strides[3] * item;
  for (std::int64_t plane = 0; plane < (channels_last ? 1 : channels); ++plane) {
    for (std::int64_t row = first; row < last; ++row) {
      const auto* from = static_cast<const char*>(
          at(src, image * src.strides[0] + plane * src.strides[1] + row * src.strides[2]));
      for (std::int64_t byte = 0; byte < row_bytes; byte += kLine) {
        __builtin_prefetch(from + byte, 0, 2);
      }
    }
  }
}

/// Samples one image after another, so that each stays in the L2 cache while it is sampled. The
/// next image is prefetched meanwhile, since no processor predicts the access pattern of rays.
inline void follow_plan(const PanelSampling& args, const PanelLayout& layout,
                        const SampleBlocks& plan, const Executor& executor) noexcept {
  const std::int64_t tasks = args.src.sizes[0] * layout.count();
  const std::int64_t rows = args.src.sizes[2];
  const PanelSampler sampler(args);
  const std::int64_t cost = args.out.elements() / tasks;
  const std::int64_t bands = band_count(tasks, cost, executor);
  for_each_chunk(tasks, bands, least_rows(cost), executor, [&](std::int64_t, Chunks& chunks) {
    while (chunks.take()) {
      for (std::int64_t task = chunks.first(); task < chunks.last(); ++task) {
        const std::int64_t image = task / layout.count();
        const std::int64_t index = task % layout.count();
        if (task + layout.count() < chunks.last()) {
          prefetch_rows(args.src, image + 1, rows * index / layout.count(),
                        rows * (index + 1) / layout.count());
        }
        const Panel panel = layout.at(index);
        sampler.sample(image, panel, plan.from(layout.first_sample(panel)));
      }
    }
  });
}

template <typename Fill>
void sample_panels(const PanelSampling& args, const Executor& executor, const Fill& fill) noexcept {
  const PanelLayout layout(args.out);
  const PanelSampler sampler(args);
  const std::int64_t images = args.src.sizes[0];
  if (args.plan.memory != nullptr) {
    const SampleBlocks plan = sample_blocks_in(args.plan.memory, layout.samples());
    if (!args.plan.made) {
      const std::int64_t bands = band_count(layout.count(), kMaxRun, executor);
      for_each_band(layout.count(), bands, executor,
                    [&](std::int64_t, std::int64_t first, std::int64_t last) {
                      Fill fill_here = fill;
                      PositionScratch scratch;
                      for (std::int64_t index = first; index < last; ++index) {
                        const Panel panel = layout.at(index);
                        sampler.locate(0, panel, fill_here, plan.from(layout.first_sample(panel)),
                                       scratch);
                      }
                    });
    }
    return follow_plan(args, layout, plan, executor);
  }
  const std::int64_t tasks = layout.count() * (args.shared ? 1 : images);
  const std::int64_t cost = args.out.elements() / tasks;
  const std::int64_t bands = band_count(tasks, cost, executor);
  for_each_chunk(tasks, bands, least_rows(cost), executor, [&](std::int64_t, Chunks& chunks) {
    Fill fill_here = fill;
    PositionScratch scratch;
    alignas(64) char memory[sample_block_bytes(kMaxRun)];
    const SampleBlocks blocks = sample_blocks_in(memory, kMaxRun);
    while (chunks.take()) {
      for (std::int64_t task = chunks.first(); task < chunks.last(); ++task) {
        const Panel panel = layout.at(task % layout.count());
        const std::int64_t image = args.shared ? 0 : task / layout.count();
        sampler.locate(image, panel, fill_here, blocks, scratch);
        for (std::int64_t at = image; at < (args.shared ? images : image + 1); ++at) {
          sampler.sample(at, panel, blocks);
        }
      }
    }
  });
}

/// A number as bits, for the key of a plan.
inline std::int64_t bits_of(double value) noexcept {
  std::int64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

/// Whether `out`, which is not checked yet, may have a plan.
inline bool has_room_for_plan(const TensorView& src, const TensorView& out) noexcept {
  if (src.rank != 4 || out.rank != 4) return false;
  for (int axis = 0; axis < 4; ++axis) {
    const std::int64_t size = out.sizes[axis];
    if (size <= 0 || (axis >= 2 && size >= kSideLimit)) return false;
  }
  return true;
}

}  // namespace cineflow
