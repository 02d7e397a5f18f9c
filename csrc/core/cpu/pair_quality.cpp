#include "cineflow/pair_quality.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace cineflow {
namespace {

/// Variance of rounding to whole grey levels. Weaker texture does not count as texture.
constexpr double kRounding = 1.0 / 12.0;
/// Added to squared gradients, (grey level / px)^2, so that weak ones do not locate anything.
constexpr double kLeastGradient = 1.0;
constexpr double kWhite = 255.0;
/// Weight of a new frame in the running means.
constexpr double kRenewal = 0.2;
/// A frame is judged by its worse tissue: these shares of the tissue are better than its figures.
constexpr double kWorseShare = 0.8;
constexpr double kWorstShare = 0.9;

struct Weighted {
  double value, weight;
};

/// The smallest value below or at which `share` of the weight lies. Sorts `values`.
double weighted_quantile(std::vector<Weighted>& values, double share) {
  std::sort(values.begin(), values.end(), [](const Weighted& one, const Weighted& other) {
    // NaN, which sums of grey levels near the largest float make, comes last.
    return std::isnan(other.value) ? !std::isnan(one.value) : one.value < other.value;
  });
  double total = 0.0;
  for (const Weighted& one : values) total += one.weight;
  double reached = 0.0;
  for (const Weighted& one : values) {
    reached += one.weight;
    if (reached >= share * total) return one.value;
  }
  return values.back().value;
}

/// Statistics of one block.
struct Block {
  double values[kPairFields];

  Block(const PairQualityArgs& args, std::int64_t block) {
    for (int field = 0; field < kPairFields; ++field) {
      values[field] = args.statistics[field * args.blocks + block];
    }
  }

  double operator[](PairField field) const { return values[field]; }

  bool textured() const { return std::min(values[kAA], values[kBB]) > kRounding; }

  /// sqrt(r tr(G^-1)), px; the block's side without texture.
  ///
  /// r is the variance of the residual and G the mean outer product of the gradient. A
  /// least-squares displacement from N independent pixels has covariance r G^-1 / N (Cramer-Rao).
  double photometric_px() const {
    if (!textured()) return static_cast<double>(kPairBlock);
    const double residual =
        std::max(values[kAA] + values[kBB] - 2.0 * values[kAB], 0.0) + kRounding;
    const double trace = values[kXX] + values[kYY];
    // The sums were rounded: of stripes, which have one direction, this may come out below 0.
    const double rest = std::max(values[kXX] * values[kYY] - values[kXY] * values[kXY], 0.0);
    const double determinant = rest + kLeastGradient * (trace + kLeastGradient);
    return std::sqrt(residual * (trace + 2.0 * kLeastGradient) / determinant);
  }

  /// Correlation coefficient; 0 without texture.
  double correlation() const {
    const double energy =
        std::sqrt(std::max(values[kAA], 0.0)) * std::sqrt(std::max(values[kBB], 0.0));
    return energy > kRounding ? std::clamp(values[kAB] / energy, -1.0, 1.0) : 0.0;
  }
};

}  // namespace

PairQuality pair_quality(const PairQualityArgs& args) {
  const std::int64_t count = args.blocks;
  std::vector<Block> blocks;
  blocks.reserve(count);
  double total = 0.0;
  for (std::int64_t index = 0; index < count; ++index) {
    const Block& block = blocks.emplace_back(args, index);
    const double brightness = block[kGreyA] / kWhite;
    double tissue = block[kCount] * brightness * brightness;  // blood is dark
    double grey = block[kCount] > 0.0 ? block[kGreyA] : 0.0;
    if (args.before != nullptr) {
      const BlockPicture& before = *args.before;
      tissue = before.tissue[index] + kRenewal * (tissue - before.tissue[index]);
      grey = before.grey[index] + kRenewal * (grey - before.grey[index]);
    }
    args.tissue[index] = tissue;
    args.grey[index] = grey;
    total += tissue;
  }

  PairQuality quality{};
  const double share = total > 0.0 ? 1.0 / total : 0.0;
  for (std::int64_t index = 0; index < count; ++index) {
    const double weight = args.tissue[index] * share;
    quality.supported |= weight > 0.0 && blocks[index].textured();
    quality.folded += weight * blocks[index][kFolded];
  }
  if (!quality.supported) return quality;

  std::vector<Weighted> values(count);
  const auto quantile = [&](double wanted, const auto& value_of) {
    for (std::int64_t index = 0; index < count; ++index) {
      values[index] = {value_of(index), args.tissue[index] * share};
    }
    return weighted_quantile(values, wanted);
  };
  quality.photometric_px =
      quantile(kWorseShare, [&](std::int64_t index) { return blocks[index].photometric_px(); });
  quality.correlation =
      quantile(1.0 - kWorseShare, [&](std::int64_t index) { return blocks[index].correlation(); });
  quality.deformation =
      quantile(kWorstShare, [&](std::int64_t index) { return blocks[index][kDeformation]; });
  if (args.before == nullptr) return quality;

  const BlockPicture& before = *args.before;
  // The larger change of both frames' grey levels from the running mean. The onset of shadows,
  // haze, gain and noise shows here.
  quality.appearance = quantile(kWorseShare, [&](std::int64_t index) {
    return std::max(std::abs(blocks[index][kGreyA] - before.grey[index]),
                    std::abs(blocks[index][kGreyB] - before.grey[index]));
  });
  // Mean |f - (n / n') f'| over the tissue: f' took n' frames, f takes n.
  for (std::int64_t index = 0; index < count; ++index) {
    const double x = blocks[index][kFlowX] - args.frames * before.flow[index];
    const double y = blocks[index][kFlowY] - args.frames * before.flow[count + index];
    quality.temporal_px += std::sqrt(x * x + y * y) * args.tissue[index] * share;
  }
  return quality;
}

}  // namespace cineflow
