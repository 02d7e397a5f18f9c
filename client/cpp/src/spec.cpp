#include "spec.h"

#include <algorithm>

namespace cineflow_client {
namespace {

/// Fewer values than this travel inside the message.
constexpr std::int64_t kLeastInRing = 1024;

/// What a state has next to its frames, fields and tensors; and the largest one that has room.
constexpr std::int64_t kStateRest = 96 << 10, kMostState = 16 << 20;

}  // namespace

bool Dim::fits(std::int64_t extent, AxisSizes& sizes) const {
  if (kind == Kind::kFixed) return extent == size;
  std::int64_t whole = extent;
  if (kind == Kind::kPart) {
    if (__builtin_mul_overflow(extent, denominator, &whole) || whole % numerator != 0) return false;
    whole /= numerator;
  }
  if (whole < minimum || whole > maximum || whole % multiple != 0) return false;
  return sizes.emplace(axis, whole).first->second == whole;
}

std::string Dim::describe() const {
  if (kind == Kind::kFixed) return std::to_string(size);
  if (kind == Kind::kPart) {
    const std::string times = numerator > 1 ? std::to_string(numerator) + " " : "";
    return times + axis + (denominator > 1 ? " / " + std::to_string(denominator) : "");
  }
  const std::string step = multiple > 1 ? " by " + std::to_string(multiple) : "";
  return std::to_string(minimum) + ".." + std::to_string(maximum) + step;
}

std::optional<std::int64_t> Dim::resolved(const AxisSizes& sizes) const {
  if (kind == Kind::kFixed) return size;
  const auto found = sizes.find(axis);
  if (found == sizes.end()) return std::nullopt;
  if (kind == Kind::kAxis) return found->second;
  std::int64_t times = 0;
  if (__builtin_mul_overflow(found->second, numerator, &times)) return std::nullopt;
  return times / denominator;
}

std::optional<Sizes> TensorSpec::resolved(const AxisSizes& sizes) const {
  Sizes found;
  for (const Dim& dim : dims) {
    const auto size = dim.resolved(sizes);
    if (!size) return std::nullopt;
    found.push_back(*size);
  }
  return found;
}

const TensorSpec* Model::input(const std::string& name) const noexcept {
  for (const TensorSpec& one : inputs) {
    if (one.name == name) return &one;
  }
  return nullptr;
}

const TensorSpec* Model::output(const std::string& name) const noexcept {
  for (const TensorSpec& one : outputs) {
    if (one.name == name) return &one;
  }
  return nullptr;
}

bool Model::travels_raw(const TensorSpec& output) const noexcept {
  return (output.role != "flow" && output.role != "displacement") || output.time_axis.has_value();
}

std::vector<std::string> Model::wanted_outputs(const std::vector<std::string>& readings) const {
  const auto on_request = [](const std::string& name) {
    return name == "strain" || name == "state";
  };
  std::string there;
  for (const Port& port : ports) {
    if (on_request(port.name)) there += (there.empty() ? "" : ", ") + port.name;
  }
  std::vector<std::string> wanted;
  for (const std::string& name : readings) {
    const bool known = std::any_of(ports.begin(), ports.end(),
                                   [&name](const Port& port) { return port.name == name; });
    if (!known || !on_request(name)) {
      throw Error(Code::kCineflowClientError, "readings on request of " + there, name,
                  "The other readings always come.");
    }
  }
  for (const Port& port : ports) {
    if (!on_request(port.name) || has(readings, port.name)) {
      wanted.push_back(port.name);
    }
  }
  return wanted;
}

AxisSizes Model::axis_sizes(const Sizes& size) const {
  AxisSizes sizes;
  const auto rank = static_cast<std::size_t>(info.frame_rank);
  for (std::size_t position = 0; position < feed_inputs.size(); ++position) {
    const std::vector<Dim>& dims = input(feed_inputs[position])->dims;
    const std::size_t leading = dims.size() - rank;
    const bool last = position + 1 == feed_inputs.size();
    for (std::size_t axis = 0; axis < leading; ++axis) {
      if (dims[axis].kind != Dim::Kind::kAxis) continue;
      const bool at_time = static_cast<std::int64_t>(axis) == feed_time_axis && last;
      const std::int64_t stacked = feed != "window" ? 2 : feed_length;
      sizes[dims[axis].axis] = at_time ? stacked : 1;
    }
    static constexpr const char* kLabels[] = {"depth", "height", "width"};
    for (std::size_t axis = 0; axis < rank; ++axis) {
      const Dim& dim = dims[leading + axis];
      if (!dim.fits(size[axis], sizes)) {
        throw Error(Code::kFrameRejected,
                    std::string("a ") + kLabels[3 - rank + axis] + " of " + dim.describe() +
                        " pixels, which " + info.served_name + " takes",
                    std::to_string(size[axis]), "Resize or pad the frame first.");
      }
    }
  }
  return sizes;
}

std::size_t Model::ring_bytes(const Port& port, const Sizes& size) const {
  std::optional<Sizes> shape;
  if (port.name == "flow" || port.name == "displacement" || port.name == "strain") {
    shape = size;
    const std::int64_t rank = info.frame_rank;
    shape->insert(shape->begin(), port.name == "strain" ? 3 * (rank - 1) : rank);
  } else if (const TensorSpec* own = output(port.name)) {
    shape = own->resolved(axis_sizes(size));
  }
  if (!shape) return 0;
  const auto count = product(*shape);
  if (!count || *count < kLeastInRing || *count > (std::int64_t{1} << 40)) return 0;
  return static_cast<std::size_t>(*count) * size_of(port.dtype);
}

std::size_t Model::state_bytes(const Sizes& size) const {
  const std::int64_t pixels = product(size).value_or(kMostState);
  std::int64_t frames = 1;
  if (feed == "reference") frames += 1;
  if (feed == "window") frames += feed_length + static_cast<std::int64_t>(feed_inputs.size()) - 2;
  const bool composes = std::any_of(outputs.begin(), outputs.end(),
                                    [](const TensorSpec& one) { return one.role == "flow"; });
  if (composes) frames += 2 * 4 * info.frame_rank;  // two fields of floats
  std::int64_t bytes = kStateRest;
  std::int64_t all = 0;
  if (__builtin_mul_overflow(frames, pixels, &all) || all > kMostState) return 0;
  bytes += all;
  const AxisSizes sizes = axis_sizes(size);
  for (const TensorSpec& state : states) {
    const auto shape = state.resolved(sizes);
    const auto count = shape ? product(*shape) : std::nullopt;
    if (!count || *count > kMostState) return 0;
    bytes += *count * static_cast<std::int64_t>(size_of(state.dtype));
  }
  return bytes > kMostState ? 0 : static_cast<std::size_t>(bytes);
}

}  // namespace cineflow_client
