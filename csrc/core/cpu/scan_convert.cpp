#include "cineflow/scan_convert.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/bands.h"
#include "cpu/runs.h"
#include "math/dispatch.h"
#include "math/polar.h"

namespace cineflow {
namespace {

/// The columns of one run that the sector reaches. Those around them hold the offset.
struct Span {
  std::int32_t first, count;  // `first` counts from the start of the run's part
};

/// How an image is split into runs: the parts of its rows.
class Parts {
 public:
  explicit Parts(const TensorView& out)
      : width_(out.sizes[3]),
        per_row_((width_ + kMaxRun - 1) / kMaxRun),
        count_(out.sizes[2] * per_row_) {}

  struct Part {
    std::int64_t row, column;
    int columns;
  };

  std::int64_t count() const { return count_; }

  Part at(std::int64_t index) const {
    const std::int64_t column = index % per_row_ * kMaxRun;
    return {index / per_row_, column,
            static_cast<int>(std::min<std::int64_t>(kMaxRun, width_ - column))};
  }

  /// Samples of each part in a plan, where parts follow one another.
  std::int64_t samples() const {
    const std::int64_t count = std::min<std::int64_t>(kMaxRun, width_);
    return (count + kBlockSamples - 1) / kBlockSamples * kBlockSamples;
  }

 private:
  std::int64_t width_;
  std::int64_t per_row_;
  std::int64_t count_;
};

/// A plan: the span of each part, and the located samples of that span.
struct Plan {
  Span* spans;
  SampleBlocks blocks;

  static std::int64_t span_bytes(const Parts& parts) {
    constexpr std::int64_t kAlignment = 64;
    const std::int64_t bytes = parts.count() * static_cast<std::int64_t>(sizeof(Span));
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

  static std::int64_t bytes(const Parts& parts) {
    return span_bytes(parts) + sample_block_bytes(parts.count() * parts.samples());
  }

  Plan(void* memory, const Parts& parts)
      : spans(static_cast<Span*>(memory)),
        blocks(sample_blocks_in(static_cast<char*>(memory) + span_bytes(parts),
                                parts.count() * parts.samples())) {}
};

class ScanConversion {
 public:
  explicit ScanConversion(const ScanConvertArgs& args)
      : args_(args),
        parts_(args.out),
        grid_(angular_grid(args.first_angle, args.angle_step, args.src.sizes[2], false)) {}

  void run(const Executor& executor) const noexcept {
    if (args_.plan.memory != nullptr) {
      const Plan plan(args_.plan.memory, parts_);
      if (!args_.plan.made) make_plan(plan, executor);
      return follow_plan(plan, executor);
    }
    const std::int64_t cost = args_.src.sizes[0] * args_.src.sizes[1] * args_.out.sizes[3];
    for_each_band(parts_.count(), band_count(parts_.count(), cost, executor), executor,
                  [this](std::int64_t, std::int64_t first, std::int64_t last) {
                    for (std::int64_t index = first; index < last; ++index) convert(index);
                  });
  }

 private:
  /// Positions of one part, and the span of them that lies in the sector.
  Span find_positions(const Parts::Part& part, PositionScratch& scratch) const noexcept {
    PolarRun run{};
    run.x = static_cast<float>(static_cast<double>(part.column) - args_.apex_x);
    run.y = static_cast<float>(static_cast<double>(part.row) - args_.apex_y);
    run.count = part.columns;
    run.grid = grid_;
    run.first_radius = static_cast<float>(args_.first_radius);
    run.samples_per_pixel = static_cast<float>(1.0 / args_.radius_step);
    run.radius = scratch.x;
    run.angle = scratch.y;
    kernels().to_polar(run);
    int first = part.columns;
    int last = -1;
    for (int index = 0; index < part.columns; ++index) {
      const float sample = position_in_sector(scratch.x[index], args_.src.sizes[3]);
      const float line = position_in_sector(scratch.y[index], args_.src.sizes[2]);
      scratch.x[index] = sample;
      scratch.y[index] = line;
      if (sample + line >= 0.0f) {  // neither is NaN
        first = std::min(first, index);
        last = index;
      }
    }
    return last < 0 ? Span{0, 0} : Span{first, last - first + 1};
  }

  /// The run of a span in one image.
  SampleRun run_of(std::int64_t image, const Parts::Part& part, const Span& span) const noexcept {
    const TensorView& out = args_.out;
    const std::int64_t column = part.column + span.first;
    SampleRun run = make_run(
        args_.src, image, Border::kZeros, out,
        image * out.strides[0] + part.row * out.strides[2] + column * out.strides[3], span.count);
    run.scale = args_.scale;
    run.bias = args_.offset;
    return run;
  }

  /// Writes the offset to the columns of a part on both sides of its span.
  void fill_around(std::int64_t image, const Parts::Part& part, const Span& span) const noexcept {
    const std::int64_t after = part.column + span.first + span.count;
    fill(image, part.row, part.column, part.column + span.first);
    fill(image, part.row, after, part.column + part.columns);
  }

  void fill(std::int64_t image, std::int64_t row, std::int64_t first,
            std::int64_t last) const noexcept {
    const TensorView& out = args_.out;
    with_float_storage(out.dtype, [&](auto tag) {
      using Result = typename decltype(tag)::type;
      const auto value = from_float<Result>(args_.offset);
      for (std::int64_t channel = 0; channel < out.sizes[1]; ++channel) {
        auto* to = static_cast<Result*>(out.data) + image * out.strides[0] +
                   channel * out.strides[1] + row * out.strides[2];
        if (out.strides[3] == 1) {
          std::fill(to + first, to + last, value);
        } else {
          for (std::int64_t at = first; at < last; ++at) to[at * out.strides[3]] = value;
        }
      }
    });
  }

  /// Locates a part once and samples it in all images.
  void convert(std::int64_t index) const noexcept {
    const std::int64_t images = args_.src.sizes[0];
    const Parts::Part part = parts_.at(index);
    PositionScratch scratch;
    const Span span = find_positions(part, scratch);
    for (std::int64_t image = 0; image < images; ++image) fill_around(image, part, span);
    if (span.count == 0) return;
    const SamplePositions positions{scratch.x + span.first, scratch.y + span.first};
    if (images == 1) return sample_run(run_of(0, part, span), positions);
    alignas(64) char memory[sample_block_bytes(kScratchSamples)];
    const SampleBlocks blocks = sample_blocks_in(memory, kScratchSamples);
    kernels().locate_samples(run_of(0, part, span), positions, blocks);
    for (std::int64_t image = 0; image < images; ++image) {
      kernels().sample_located(run_of(image, part, span), blocks);
    }
  }

  void make_plan(const Plan& plan, const Executor& executor) const noexcept {
    const std::int64_t bands = band_count(parts_.count(), parts_.samples(), executor);
    for_each_band(parts_.count(), bands, executor,
                  [&](std::int64_t, std::int64_t first, std::int64_t last) {
                    PositionScratch scratch;
                    for (std::int64_t index = first; index < last; ++index) {
                      const Parts::Part part = parts_.at(index);
                      const Span span = find_positions(part, scratch);
                      plan.spans[index] = span;
                      if (span.count == 0) continue;
                      kernels().locate_samples(
                          run_of(0, part, span),
                          SamplePositions{scratch.x + span.first, scratch.y + span.first},
                          plan.blocks.from(index * parts_.samples()));
                    }
                  });
  }

  void follow_plan(const Plan& plan, const Executor& executor) const noexcept {
    const std::int64_t tasks = args_.src.sizes[0] * parts_.count();
    const std::int64_t bands = band_count(tasks, args_.out.elements() / tasks, executor);
    for_each_band(tasks, bands, executor, [&](std::int64_t, std::int64_t first, std::int64_t last) {
      for (std::int64_t task = first; task < last; ++task) {
        const std::int64_t image = task / parts_.count();
        const std::int64_t index = task % parts_.count();
        const Parts::Part part = parts_.at(index);
        const Span span = plan.spans[index];
        fill_around(image, part, span);
        if (span.count == 0) continue;
        kernels().sample_located(run_of(image, part, span),
                                 plan.blocks.from(index * parts_.samples()));
      }
    });
  }

  const ScanConvertArgs& args_;
  Parts parts_;
  AngularGrid grid_;
};

std::int64_t bits_of(double value) {
  std::int64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

/// Most bytes of a plan: that of an image of 1920 x 1080 pixels. Few of its pages are touched.
constexpr std::int64_t kLargestPlan = std::int64_t{64} << 20;

}  // namespace

PolarPlanKey scan_convert_plan_key(const ScanConvertArgs& args) noexcept {
  const TensorView& src = args.src;
  const TensorView& out = args.out;
  return {src.sizes[2],
          src.sizes[3],
          src.strides[2],
          src.strides[3],
          out.sizes[2],
          out.sizes[3],
          bits_of(args.apex_x),
          bits_of(args.apex_y),
          bits_of(args.first_angle),
          bits_of(args.angle_step),
          bits_of(args.first_radius),
          bits_of(args.radius_step),
          reinterpret_cast<std::intptr_t>(&kernels())};  // plans depend on the vector length
}

std::int64_t scan_convert_plan_bytes(const ScanConvertArgs& args) noexcept {
  if (args.src.rank != 4 || args.out.rank != 4) return 0;
  for (int axis = 0; axis < 4; ++axis) {
    const std::int64_t size = args.out.sizes[axis];
    if (size <= 0 || (axis >= 2 && size >= kSideLimit)) return 0;
  }
  const std::int64_t bytes = Plan::bytes(Parts(args.out));
  return bytes <= kLargestPlan ? bytes : 0;
}

Status scan_convert_cpu(const ScanConvertArgs& args, const Executor& executor) noexcept {
  const Status status = check_scan_convert(args);
  if (!status.ok() || args.out.elements() == 0) return status;
  ScanConversion(args).run(executor);
  return status;
}

}  // namespace cineflow
