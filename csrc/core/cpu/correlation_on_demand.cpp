// RAFT's look-up without the volume, on the CPU.
//
// The features of one image are packed once, as f32 with adjacent channels. The window of a pixel
// on one level is a dot product for each of its pixels that are inside; samples are interpolated
// from the window as in the look-up.
#include "cineflow/correlation_on_demand.h"

#include <cstring>

#include "cpu/all_pairs.h"
#include "cpu/chunks.h"
#include "cpu/views.h"
#include "cpu/workspace.h"
#include "math/dispatch.h"
#include "math/pool.h"

namespace cineflow {
namespace {

struct Geometry {
  explicit Geometry(const CorrelationOnDemandArgs& args)
      : channels((args.f1.sizes[1] + kDotChannels - 1) / kDotChannels * kDotChannels),
        height(args.f1.sizes[2]),
        width(args.f1.sizes[3]),
        length(level_start(height, width, args.levels)) {}

  std::int64_t feature_floats() const { return length * channels; }
  std::int64_t band_floats() const { return kLookupPixels * channels + kWindowFloats; }

  std::int64_t channels;  // in whole vectors
  std::int64_t height, width;
  std::int64_t length;  // pixels of all levels
};

/// `count` pixels of a row, as [count][channels]; 0 after the last channel.
void pack_channels(const TensorView& map, std::int64_t image, std::int64_t y, std::int64_t x,
                   std::int64_t count, std::int64_t channels, float* to) {
  const std::int64_t given = map.sizes[1];
  with_float_storage(map.dtype, [&](auto tag) {
    using Source = typename decltype(tag)::type;
    const auto* from = static_cast<const Source*>(map.data) + image * map.strides[0] +
                       y * map.strides[2] + x * map.strides[3];
    for (std::int64_t pixel = 0; pixel < count; ++pixel) {
      float* own = to + pixel * channels;
      for (std::int64_t channel = 0; channel < given; ++channel) {
        own[channel] = to_float(from[pixel * map.strides[3] + channel * map.strides[1]]);
      }
      std::memset(own + given, 0, sizeof(float) * (channels - given));
    }
  });
}

/// The look-ups of up to kLookupPixels pixels of one row.
void look_up_pixels(const CorrelationOnDemandArgs& args, const Geometry& size,
                    const float* features, float* workspace, std::int64_t image, std::int64_t row,
                    std::int64_t first, int count) {
  float* f1 = workspace;
  float* dots = workspace + kLookupPixels * size.channels;
  pack_channels(args.f1, image, row, first, count, size.channels, f1);
  LookupWindows windows(args.coords, args.out, args.radius, image, row, first, count);
  for (int level = 0; level < args.levels; ++level) {
    LookupRun& run = windows.place(level, size.height, size.width);
    const float* f2 = features + level_start(size.height, size.width, level) * size.channels;
    for (int pixel = 0; pixel < count; ++pixel) {
      const auto multiply_row = [&](float* window, std::int64_t y, std::int64_t x,
                                    std::int64_t columns) {
        kernels().dot_row({f1 + pixel * size.channels, f2 + (y * run.width + x) * size.channels,
                           size.channels, static_cast<int>(columns), args.scale, window});
      };
      for_each_row(run, pixel, dots, multiply_row);
    }
    use_windows(dots, &run);
    windows.look_up(level);
  }
}

/// Whether the sizes of `Geometry` are safe to compute, for arguments that nothing has checked yet.
bool has_geometry(const CorrelationOnDemandArgs& args) {
  const TensorView& f1 = args.f1;
  constexpr std::int64_t kElementLimit = std::int64_t{1} << 40;
  if (f1.rank != kImageRank || !(args.levels >= 1 && args.levels <= kMaxLevels)) return false;
  const std::int64_t height = f1.sizes[2];
  const std::int64_t width = f1.sizes[3];
  if (!(height > 0 && height < kSideLimit && width > 0 && width < kSideLimit)) return false;
  const std::int64_t pixels = height * width;
  return f1.sizes[0] > 0 && f1.sizes[1] == args.features.sizes[1] && pixels < kPlaneLimit &&
         f1.sizes[1] < kElementLimit / pixels;
}

/// The levels of some planes, of all N x C.
template <typename Source, typename Result>
void pool_planes(const FeaturePyramidArgs& args, std::int64_t first, std::int64_t last) noexcept {
  const TensorView& f2 = args.f2;
  const TensorView& out = args.out;
  for (std::int64_t number = first; number < last; ++number) {
    const std::int64_t image = number / f2.sizes[1];
    const std::int64_t channel = number % f2.sizes[1];
    const Source* plane =
        static_cast<const Source*>(f2.data) + image * f2.strides[0] + channel * f2.strides[1];
    const auto load = [&](std::int64_t y, std::int64_t x) {
      return to_float(plane[y * f2.strides[2] + x * f2.strides[3]]);
    };
    Result* to = static_cast<Result*>(out.data) + image * out.strides[0] + channel * out.strides[1];
    for (int level = 0; level < args.levels; ++level) {
      const std::int64_t columns = f2.sizes[3] >> level;
      for (std::int64_t y = 0; y < f2.sizes[2] >> level; ++y) {
        for (std::int64_t x = 0; x < columns; ++x) {
          to[x * out.strides[3]] = from_float<Result>(pooled(load, level, y, x));
        }
        for (std::int64_t x = columns; x < f2.sizes[3]; ++x) {
          to[x * out.strides[3]] = from_float<Result>(0.0f);
        }
        to += out.strides[2];
      }
    }
  }
}

}  // namespace

std::int64_t correlation_on_demand_workspace(const CorrelationOnDemandArgs& args,
                                             int threads) noexcept {
  if (!has_geometry(args)) return 0;
  const Geometry geometry(args);
  return (geometry.feature_floats() + threads * geometry.band_floats()) * sizeof(float);
}

Status correlation_on_demand_cpu(const CorrelationOnDemandArgs& args,
                                 const Executor& executor) noexcept {
  Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  status = check_workspace(args.workspace);
  if (!status.ok()) return status;
  const Geometry size(args);
  auto* features = static_cast<float*>(args.workspace);
  const std::int64_t feature_rows = args.features.sizes[2];
  const std::int64_t pack_bands = band_count(feature_rows, size.width * size.channels, executor);
  const std::int64_t bands =
      band_count(size.height, size.width * args.out.sizes[1] * (size.channels / 8 + 1), executor);
  for (std::int64_t image = 0; image < args.f1.sizes[0]; ++image) {
    for_each_band(feature_rows, pack_bands, executor,
                  [&](std::int64_t, std::int64_t first, std::int64_t last) {
                    for (int level = 0; level < args.levels; ++level) {
                      const std::int64_t top = level_row(size.height, level);
                      const std::int64_t columns = size.width >> level;
                      float* to =
                          features + level_start(size.height, size.width, level) * size.channels;
                      const std::int64_t end = std::min(last, top + (size.height >> level));
                      for (std::int64_t row = std::max(first, top); row < end; ++row) {
                        pack_channels(args.features, image, row, 0, columns, size.channels,
                                      to + (row - top) * columns * size.channels);
                      }
                    }
                  });
    for_each_chunk(size.height, bands, 1, executor, [&](std::int64_t band, Chunks& chunks) {
      float* own = features + size.feature_floats() + band * size.band_floats();
      while (chunks.take()) {
        for (std::int64_t row = chunks.first(); row < chunks.last(); ++row) {
          for (std::int64_t pixel = 0; pixel < size.width; pixel += kLookupPixels) {
            const std::int64_t left = size.width - pixel;
            look_up_pixels(args, size, features, own, image, row, pixel,
                           static_cast<int>(std::min<std::int64_t>(kLookupPixels, left)));
          }
        }
      }
    });
  }
  return status;
}

Status feature_pyramid_cpu(const FeaturePyramidArgs& args, const Executor& executor) noexcept {
  const Status status = check(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  const std::int64_t planes = args.out.sizes[0] * args.out.sizes[1];
  const std::int64_t bands = band_count(planes, args.out.sizes[2] * args.out.sizes[3], executor);
  with_float_storage(args.f2.dtype, [&](auto source) {
    with_float_storage(args.out.dtype, [&](auto result) {
      using Source = typename decltype(source)::type;
      using Result = typename decltype(result)::type;
      for_each_band(planes, bands, executor,
                    [&](std::int64_t, std::int64_t first, std::int64_t last) {
                      pool_planes<Source, Result>(args, first, last);
                    });
    });
  });
  return status;
}

}  // namespace cineflow
