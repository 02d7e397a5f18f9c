// RAFT's all-pairs correlation on the CPU, and the look-up in it.
//
// The volume is a matrix product. f2 is packed once per image into panels of 32 pixels; 24 pixels
// of f1 are then multiplied with one panel after another, and their finished rows are pooled while
// they are in the cache.
#include "cineflow/correlation_pyramid.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "cpu/all_pairs.h"
#include "cpu/chunks.h"
#include "cpu/packing.h"
#include "cpu/views.h"
#include "cpu/workspace.h"
#include "math/dispatch.h"

namespace cineflow {
namespace {

/// Pixels of f1 that are multiplied at once, and of f2 in a panel. One panel and these pixels fit
/// into the L1 cache together.
constexpr std::int64_t kBlockRows = 2 * kProductRows;
constexpr std::int64_t kProductColumns = 2 * kProductVector;

/// Sizes that follow from the arguments.
struct Geometry {
  explicit Geometry(const CorrelationPyramidArgs& args)
      : channels(args.f1.sizes[1]),
        height(args.f1.sizes[2]),
        width(args.f1.sizes[3]),
        pixels(height * width),
        panels((pixels + kProductColumns - 1) / kProductColumns),
        panel_floats(channels * kProductColumns),
        length(level_start(height, width, args.levels)),
        row_floats((length + 15) / 16 * 16) {}

  std::int64_t band_floats() const { return kBlockRows * (channels + row_floats); }
  std::int64_t f2_floats() const { return panels * panel_floats; }

  std::int64_t channels, height, width, pixels;
  std::int64_t panels;        // of f2
  std::int64_t panel_floats;  // of one of them
  std::int64_t length;        // elements of all levels
  std::int64_t row_floats;    // those of one pixel of f1, in whole cache lines
};

/// Pixels [first, first + count) of all channels, as [channels][kColumns]; 0 after the last one.
template <std::int64_t kColumns>
void pack_pixels(const TensorView& map, std::int64_t image, std::int64_t first, std::int64_t count,
                 float* to) {
  const std::int64_t width = map.sizes[3];
  // Rows that follow one another in memory are one.
  const bool dense = map.strides[3] == 1 && map.strides[2] == width;
  if (dense && map.dtype == DType::kF32 && count == kColumns) {  // copies of a constant size
    const float* from = floats_at(map, image * map.strides[0] + first);
    for (std::int64_t channel = 0; channel < map.sizes[1]; ++channel) {
      std::memcpy(to + channel * kColumns, from + channel * map.strides[1],
                  kColumns * sizeof(float));
    }
    return;
  }
  if (count < kColumns) std::memset(to, 0, sizeof(float) * map.sizes[1] * kColumns);
  with_float_storage(map.dtype, [&](auto tag) {
    using Source = typename decltype(tag)::type;
    const auto* plane = static_cast<const Source*>(map.data) + image * map.strides[0];
    for (std::int64_t channel = 0; channel < map.sizes[1]; ++channel) {
      for (std::int64_t done = 0; done < count;) {
        const std::int64_t y = (first + done) / width;
        const std::int64_t x = (first + done) % width;
        const std::int64_t part = dense ? count : std::min(count - done, width - x);
        copy_values(plane + y * map.strides[2] + x * map.strides[3], map.strides[3], part,
                    to + done);
        done += part;
      }
      plane += map.strides[1];
      to += kColumns;
    }
  });
}

/// One band's share of the pixels of f1, in blocks of kBlockRows.
class BandWorker {
 public:
  BandWorker(const CorrelationPyramidArgs& args, const Geometry& geometry, std::int64_t image,
             const float* f2, float* workspace)
      : args_(args),
        size_(geometry),
        image_(image),
        f2_(f2),
        f1_(workspace),
        rows_(workspace + kBlockRows * size_.channels),
        direct_(args.out.dtype == DType::kF32 && args.out.strides[3] == 1 &&
                args.out.strides[1] == size_.width * args.out.strides[2]) {}

  void run(std::int64_t first_block, std::int64_t last_block) {
    for (std::int64_t block = first_block; block < last_block; ++block) {
      const std::int64_t first = block * kBlockRows;
      const std::int64_t count = std::min(kBlockRows, size_.pixels - first);
      pack_pixels<kBlockRows>(args_.f1, image_, first, count, f1_);
      float* rows = direct_ ? static_cast<float*>(at(args_.out, offset_of(first))) : rows_;
      const std::int64_t stride = direct_ ? args_.out.strides[2] : size_.row_floats;
      for (std::int64_t panel = 0; panel < size_.panels; ++panel) {
        multiply(panel, count, rows + panel * kProductColumns, stride);
      }
      prefetch_row(rows);
      for (std::int64_t row = 0; row < count; ++row) {
        if (row + 1 < count) prefetch_row(rows + (row + 1) * stride);
        pool(rows + row * stride);
        if (!direct_) store(rows + row * stride, offset_of(first + row));
      }
    }
  }

 private:
  std::int64_t offset_of(std::int64_t pixel) const {
    const TensorView& out = args_.out;
    return image_ * out.strides[0] + pixel / size_.width * out.strides[1] +
           pixel % size_.width * out.strides[2];
  }

  void multiply(std::int64_t panel, std::int64_t rows, float* out, std::int64_t stride) const {
    MatrixProduct task{};
    task.first = f1_;
    task.first_stride = kBlockRows;
    task.second = f2_ + panel * size_.panel_floats;
    task.second_stride = kProductColumns;
    task.out = out;
    task.out_stride = stride;
    task.channels = size_.channels;
    task.rows = rows;
    task.columns = std::min(kProductColumns, size_.pixels - panel * kProductColumns);
    task.scale = args_.scale;
    kernels().multiply_matrices(task);
  }

  /// Fetches the lines that pool() will write, which no cache holds yet. Always inlined: GCC
  /// removes calls of a function that only prefetches.
  __attribute__((always_inline)) void prefetch_row(float* row) const {
    constexpr std::int64_t kLineFloats = 16;
    for (std::int64_t at = 0; at < size_.length; at += kLineFloats) {
      __builtin_prefetch(row + at, 1);
    }
  }

  void pool(float* row) const {
    for (int level = 1; level < args_.levels; ++level) {
      kernels().pool_plane(row + level_start(size_.height, size_.width, level - 1),
                           size_.height >> (level - 1), size_.width >> (level - 1),
                           row + level_start(size_.height, size_.width, level));
    }
  }

  void store(const float* from, std::int64_t offset) const {
    with_float_storage(args_.out.dtype, [&](auto tag) {
      using Result = typename decltype(tag)::type;
      auto* to = static_cast<Result*>(at(args_.out, offset));
      const std::int64_t step = args_.out.strides[3];
      for (std::int64_t index = 0; index < size_.length; ++index) {
        to[index * step] = from_float<Result>(from[index]);
      }
    });
  }

  const CorrelationPyramidArgs& args_;
  const Geometry& size_;
  std::int64_t image_;
  const float* f2_;  // [panels][channels][kProductColumns]
  float* f1_;        // [channels][kBlockRows]
  float* rows_;      // [kBlockRows][row_floats], used where the output cannot be written directly
  bool direct_;      // rows are written to the output, and pooled there
};

/// Whether the sizes of `Geometry` are safe to compute, for arguments that nothing has checked yet.
bool has_geometry(const CorrelationPyramidArgs& args) {
  const TensorView& f1 = args.f1;
  constexpr std::int64_t kElementLimit = std::int64_t{1} << 40;
  if (f1.rank != kImageRank || !(args.levels >= 1 && args.levels <= kMaxLevels)) return false;
  for (int axis = 0; axis < kImageRank; ++axis) {
    if (f1.sizes[axis] != args.f2.sizes[axis]) return false;
  }
  const std::int64_t height = f1.sizes[2];
  const std::int64_t width = f1.sizes[3];
  if (!(height > 0 && height < kSideLimit && width > 0 && width < kSideLimit)) return false;
  const std::int64_t pixels = height * width;
  return f1.sizes[0] > 0 && pixels < kPlaneLimit && f1.sizes[1] < kElementLimit / pixels;
}

}  // namespace

std::int64_t correlation_pyramid_workspace(const CorrelationPyramidArgs& args,
                                           int threads) noexcept {
  if (!has_geometry(args)) return 0;
  const Geometry geometry(args);
  return (geometry.f2_floats() + threads * geometry.band_floats()) * sizeof(float);
}

Status correlation_pyramid_cpu(const CorrelationPyramidArgs& args,
                               const Executor& executor) noexcept {
  Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  status = check_workspace(args.workspace);
  if (!status.ok()) return status;
  const Geometry geometry(args);
  auto* f2 = static_cast<float*>(args.workspace);
  const std::int64_t blocks = (geometry.pixels + kBlockRows - 1) / kBlockRows;
  const std::int64_t pack_bands = band_count(geometry.panels, geometry.panel_floats, executor);
  const std::int64_t bands =
      band_count(blocks, kBlockRows * geometry.pixels * (geometry.channels / 8 + 1), executor);
  for (std::int64_t image = 0; image < args.f1.sizes[0]; ++image) {
    for_each_band(geometry.panels, pack_bands, executor,
                  [&](std::int64_t, std::int64_t first, std::int64_t last) {
                    for (std::int64_t panel = first; panel < last; ++panel) {
                      const std::int64_t column = panel * kProductColumns;
                      pack_pixels<kProductColumns>(
                          args.f2, image, column,
                          std::min(kProductColumns, geometry.pixels - column),
                          f2 + panel * geometry.panel_floats);
                    }
                  });
    for_each_chunk(blocks, bands, 1, executor, [&](std::int64_t band, Chunks& chunks) {
      float* own = f2 + geometry.f2_floats() + band * geometry.band_floats();
      BandWorker worker(args, geometry, image, f2, own);
      while (chunks.take()) worker.run(chunks.first(), chunks.last());
    });
  }
  return status;
}

namespace {

/// Copies the windows of maps whose elements are `step` apart, and makes `run` read the copies.
void gather_windows(std::int64_t step, float* to, LookupRun* run) {
  with_float_storage(run->dtype, [&](auto tag) {
    using Source = typename decltype(tag)::type;
    for (int pixel = 0; pixel < run->count; ++pixel) {
      const auto* map = static_cast<const Source*>(run->maps[pixel]);
      const auto copy_row = [&](float* window, std::int64_t y, std::int64_t x,
                                std::int64_t columns) {
        copy_values(map + (y * run->width + x) * step, step, columns, window);
      };
      for_each_row(*run, pixel, to, copy_row);
    }
  });
  use_windows(to, run);
}

/// Sizes that follow from the arguments of a look-up, with rows that follow one another in memory
/// as one row.
struct LookupGeometry {
  explicit LookupGeometry(const CorrelationLookupArgs& given)
      : args(given), height(given.out.sizes[2]), width(given.out.sizes[3]) {
    const auto follow = [](const TensorView& view, int axis) {
      return view.strides[axis] == view.sizes[axis + 1] * view.strides[axis + 1];
    };
    if (follow(args.pyramid, 1) && follow(args.coords, 2) && follow(args.out, 2)) {
      join(&args.pyramid, 1);
      join(&args.coords, 2);
      join(&args.out, 2);
    }
    head = pixels_before_a_line(args.out);
    row_blocks = (args.out.sizes[3] + kLookupPixels - 1 - head) / kLookupPixels + (head > 0);
  }

  std::int64_t blocks() const { return args.out.sizes[0] * args.out.sizes[2] * row_blocks; }

  /// The first pixel of block `index` of a row, or the row's end.
  std::int64_t first_pixel(std::int64_t index) const {
    const std::int64_t first = (index - (head > 0)) * kLookupPixels + head;
    return std::clamp<std::int64_t>(first, 0, args.out.sizes[3]);
  }

  /// Pixels of each row before the first one that begins a cache line in every channel, or 0 where
  /// channels or rows differ in that. A store into two lines would fetch both of them, and the next
  /// block of pixels would fetch the second one again: look-ups take twice the time.
  static std::int64_t pixels_before_a_line(const TensorView& out) {
    constexpr std::int64_t kLine = 64;
    constexpr std::int64_t kFloat = sizeof(float);
    if (out.dtype != DType::kF32 || out.strides[3] != 1) return 0;
    for (int axis = 0; axis < 3; ++axis) {
      if (out.sizes[axis] > 1 && out.strides[axis] * kFloat % kLine != 0) return 0;
    }
    const auto address = reinterpret_cast<std::uintptr_t>(out.data);
    if (address % kFloat != 0) return 0;
    const auto pixels = static_cast<std::int64_t>((kLine - address % kLine) % kLine / kFloat);
    return pixels < out.sizes[3] ? pixels : 0;
  }

  static void join(TensorView* view, int axis) {
    view->sizes[axis + 1] *= view->sizes[axis];
    view->sizes[axis] = 1;
    view->strides[axis] = view->sizes[axis + 1] * view->strides[axis + 1];
  }

  CorrelationLookupArgs args;
  std::int64_t height, width;   // of level 0
  std::int64_t head = 0;        // pixels of the first block of a row, if it is a short one
  std::int64_t row_blocks = 0;  // of kLookupPixels pixels
};

/// The look-ups of up to kLookupPixels adjacent pixels.
class LookupBlock {
 public:
  LookupBlock(const LookupGeometry& size, std::int64_t number)
      : LookupBlock(size, number / size.row_blocks / size.args.out.sizes[2],
                    number / size.row_blocks % size.args.out.sizes[2],
                    size.first_pixel(number % size.row_blocks),
                    size.first_pixel(number % size.row_blocks + 1)) {}
  LookupBlock(const LookupBlock&) = delete;  // its levels point at one another

  /// The coarsest level first: while it is sampled, the next one is prefetched, and with the last
  /// one the first of `next`, unless that is null.
  void run(const LookupBlock* next) {
    float gathered[kWindowFloats];
    for (int level = args_.levels - 1; level >= 0; --level) {
      LookupRun& run = windows_.level(level);
      if (!adjacent()) {
        gather_windows(args_.pyramid.strides[3], gathered, &run);
      } else if (level == 0 && next != nullptr) {
        run.next = next->coarsest_;
      }
      windows_.look_up(level);
    }
  }

 private:
  LookupBlock(const LookupGeometry& size, std::int64_t image, std::int64_t row, std::int64_t first,
              std::int64_t last)
      : args_(size.args),
        count_(static_cast<int>(last - first)),
        windows_(args_.coords, args_.out, args_.radius, image, row, first, count_) {
    const TensorView& pyramid = args_.pyramid;
    const std::int64_t length = pyramid.sizes[3];
    // A row of a window may reach into other pixels where these follow in memory.
    const bool dense = pyramid.strides[3] == 1 && pyramid.strides[2] == length &&
                       pyramid.strides[1] == length * pyramid.sizes[2];
    const std::int64_t before = dense ? (row * pyramid.sizes[2] + first) * length : 0;
    const std::int64_t all = dense ? pyramid.sizes[1] * pyramid.sizes[2] * length : 0;
    const std::int64_t pixel_0 =
        image * pyramid.strides[0] + row * pyramid.strides[1] + first * pyramid.strides[2];
    for (int level = 0; level < args_.levels; ++level) {
      LookupRun& run = windows_.place(level, size.height, size.width);
      const std::int64_t start = level_start(size.height, size.width, level);
      run.dtype = pyramid.dtype;
      for (int lane = 0; lane < kLookupPixels; ++lane) {
        const std::int64_t pixel = std::min(lane, count_ - 1);
        const std::int64_t at_pixel = pixel * length + start;
        run.maps[lane] =
            at(pyramid, pixel_0 + pixel * pyramid.strides[2] + start * pyramid.strides[3]);
        run.before[lane] = dense ? before + at_pixel : start;
        run.after[lane] = dense ? all - before - at_pixel : length - start;
      }
      if (adjacent()) run.next = coarsest_;
      coarsest_ = &run;
    }
  }

  bool adjacent() const { return args_.pyramid.strides[3] == 1; }

  const CorrelationLookupArgs& args_;
  int count_;
  LookupWindows windows_;
  const LookupRun* coarsest_ = nullptr;
};

/// Blocks of a chunk, at least: nothing is prefetched for the first one.
constexpr std::int64_t kLeastBlocks = 4;

void look_up_blocks(const LookupGeometry& size, std::int64_t first, std::int64_t last) {
  std::optional<LookupBlock> blocks[2];
  blocks[first % 2].emplace(size, first);
  for (std::int64_t number = first; number < last; ++number) {
    std::optional<LookupBlock>& next = blocks[(number + 1) % 2];
    if (number + 1 < last) next.emplace(size, number + 1);
    blocks[number % 2]->run(number + 1 < last ? &*next : nullptr);
  }
}

}  // namespace

Status correlation_lookup_cpu(const CorrelationLookupArgs& args,
                              const Executor& executor) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const LookupGeometry size(args);
  const std::int64_t bands = band_count(size.blocks(), kLookupPixels * args.out.sizes[1], executor);
  for_each_chunk(size.blocks(), bands, kLeastBlocks, executor, [&](std::int64_t, Chunks& chunks) {
    while (chunks.take()) look_up_blocks(size, chunks.first(), chunks.last());
  });
  return status;
}

}  // namespace cineflow
