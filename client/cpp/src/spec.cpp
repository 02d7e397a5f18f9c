#include "spec.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "wire.pb.h"

namespace cineflow_client {
namespace {

struct TypeRow {
  DataType dtype;
  const char* name;
  const char* on_wire;
  int in_config;  // Triton's DataType
  std::size_t bytes;
};

constexpr TypeRow kTypes[] = {
    {DataType::kUint8, "uint8", "UINT8", 2, 1},     {DataType::kBool, "bool", "BOOL", 1, 1},
    {DataType::kInt32, "int32", "INT32", 8, 4},     {DataType::kInt64, "int64", "INT64", 9, 8},
    {DataType::kFloat16, "float16", "FP16", 10, 2}, {DataType::kFloat32, "float32", "FP32", 11, 4},
    {DataType::kFloat64, "float64", "FP64", 12, 8},
};

const TypeRow& row_of(DataType dtype) noexcept {
  return kTypes[std::clamp(static_cast<int>(dtype), 0, 6)];
}

/// No array has more values.
constexpr std::int64_t kMostValues = std::int64_t{1} << 48;

/// Fewer values than this travel inside the message.
constexpr std::int64_t kLeastInRing = 1024;

/// Frames that a window may have.
constexpr std::int64_t kMostStacked = 65536;

constexpr const char* kWriteAgain =
    "Write the model repository with `cineflow repo BUNDLE --out DIR`, and serve that.";

void read_axis(Dim& dim, const Json& axis) {
  dim.axis = axis.at("name").as_text();
  dim.minimum = axis.at("minimum").as_int();
  dim.maximum = axis.at("maximum").as_int();
  dim.multiple = axis.at("multiple").as_int();
  if (dim.minimum < 0 || dim.multiple < 1) throw JsonError("an axis without a size");
}

Dim read_dim(const Json& json) {
  Dim dim;
  if (json.kind == Json::Kind::kNumber) {
    dim.size = json.as_int();
    if (dim.size < 0) throw JsonError("a negative size");
    return dim;
  }
  if (const Json* axis = json.find("axis")) {
    dim.kind = Dim::Kind::kPart;
    read_axis(dim, *axis);
    dim.numerator = json.at("numerator").as_int();
    dim.denominator = json.at("denominator").as_int();
    const auto right = [](std::int64_t one) { return one >= 1 && one <= 65536; };
    if (!right(dim.numerator) || !right(dim.denominator)) throw JsonError("a part of an axis");
    return dim;
  }
  dim.kind = Dim::Kind::kAxis;
  read_axis(dim, json);
  return dim;
}

TensorSpec read_tensor(const Json& json) {
  TensorSpec tensor;
  tensor.name = json.at("name").as_text();
  const auto dtype = dtype_named(json.at("dtype").as_text());
  if (!dtype) throw JsonError("a dtype of " + json.at("dtype").as_text());
  tensor.dtype = *dtype;
  for (const Json& one : json.at("shape").as_list()) tensor.dims.push_back(read_dim(one));
  if (tensor.dims.size() > kMostAxes) throw JsonError("too many axes");
  tensor.unit = json.text_of("unit");
  tensor.frame = json.text_of("frame");
  tensor.role = json.text_of("role");
  tensor.points_of = json.text_of("points_of");
  if (const Json* names = json.find("names")) tensor.names = names->as_texts();
  if (const Json* places = json.find("places")) tensor.places = places->as_texts();
  const Json* time = json.find("time_axis");
  if (time != nullptr && !time->is_null()) tensor.time_axis = time->as_int();
  for (const Dim& dim : tensor.dims) {
    if (!tensor.shape.empty()) tensor.shape += ", ";
    if (dim.kind == Dim::Kind::kAxis) tensor.shape += dim.axis + " ";
    tensor.shape += dim.describe();
  }
  return tensor;
}

void read_spec(Model& model, const Json& spec) {
  const Json& feed = spec.at("feed");
  model.feed = feed.at("kind").as_text();
  model.info.streams = model.feed != "call";
  if (const Json* weights = spec.find("weights")) {
    model.info.weights = weights->at("source").as_text();
    model.info.untrained =
        !weights->at("trained").as_bool() && model.info.weights.compare(0, 5, "seed ") == 0;
  }
  for (const Json& one : spec.at("inputs").as_list()) model.inputs.push_back(read_tensor(one));
  for (const Json& one : spec.at("outputs").as_list()) model.outputs.push_back(read_tensor(one));
  model.info.inputs.assign(model.inputs.begin(), model.inputs.end());
  model.info.outputs.assign(model.outputs.begin(), model.outputs.end());
  if (!model.info.streams) return;
  model.info.frame_rank = feed.at("volume").as_bool() ? 3 : 2;
  const auto& grey = feed.at("grey").as_list();
  if (grey.size() != 2) throw JsonError("grey levels without two ends");
  model.least_grey = grey[0].as_number();
  model.most_grey = grey[1].as_number();
  model.feed_inputs = feed.at("inputs").as_texts();
  model.at_start = feed.at("at_start").as_texts();
  const Json* time = feed.find("time_axis");
  if (time != nullptr && !time->is_null()) model.feed_time_axis = time->as_int();
  const Json* length = feed.find("length");
  if (length != nullptr && !length->is_null()) model.feed_length = length->as_int();
  if (model.feed_length < 0 || model.feed_length > kMostStacked) throw JsonError("a feed's length");
  if (model.feed_inputs.empty()) throw JsonError("a feed without inputs");
  const auto rank = static_cast<std::size_t>(model.info.frame_rank);
  for (const std::string& name : model.feed_inputs) {
    const TensorSpec* input = model.input(name);
    if (input == nullptr || input->dims.size() < rank) throw JsonError("no input " + name);
  }
}

}  // namespace

const char* name(DataType dtype) noexcept { return row_of(dtype).name; }
std::size_t size_of(DataType dtype) noexcept { return row_of(dtype).bytes; }
const char* name_on_wire(DataType dtype) noexcept { return row_of(dtype).on_wire; }

std::optional<DataType> dtype_named(const std::string& name) noexcept {
  for (const TypeRow& row : kTypes) {
    if (name == row.name) return row.dtype;
  }
  return std::nullopt;
}

std::optional<DataType> dtype_on_wire(const std::string& name) noexcept {
  for (const TypeRow& row : kTypes) {
    if (name == row.on_wire) return row.dtype;
  }
  return std::nullopt;
}

std::optional<std::int64_t> product(const Sizes& sizes) noexcept {
  std::int64_t all = 1;
  for (const std::int64_t size : sizes) {
    if (size < 0 || __builtin_mul_overflow(all, size, &all) || all > kLastIndex) return {};
  }
  return all;
}

bool are_possible(const Sizes& sizes) noexcept {
  std::int64_t all = 1;
  for (const std::int64_t size : sizes) {
    if (size < 0 || size > kMostValues / all) return false;
    all *= std::max<std::int64_t>(size, 1);
  }
  return true;
}

std::string words(const Sizes& sizes, const char* between) {
  std::string text;
  for (const std::int64_t size : sizes) {
    if (!text.empty()) text += between;
    text += std::to_string(size);
  }
  return text;
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", value);
  return text;
}

bool has(const std::vector<std::string>& names, const std::string& name) noexcept {
  return std::find(names.begin(), names.end(), name) != names.end();
}

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

std::string alias_target(const cineflow_wire::ModelConfig& config) {
  const auto& steps = config.ensemble_scheduling().step();
  return steps.size() == 1 ? steps[0].model_name() : "";
}

Model read_model(const std::string& name, const cineflow_wire::ModelConfig& config) {
  Model model;
  model.info.name = name;
  model.info.served_name = config.name();
  const auto parameter = [&config](const char* key) {
    const auto found = config.parameters().find(key);
    return found == config.parameters().end() ? std::string() : found->second.string_value();
  };
  model.info.spec = parameter("spec");
  try {
    read_spec(model, Json::parse(model.info.spec));
  } catch (const JsonError& error) {
    throw Error(
        Code::kModelNotFound,
        config.name() + " with a ModelSpec in its parameter `spec`, as cineflow models have",
        error.what(), kWriteAgain);
  }
  const std::string contract = parameter("contract");
  if (contract != std::to_string(kContract)) {
    throw Error(
        Code::kModelNotFound,
        config.name() + " served by version " + std::to_string(kContract) + " of the contract",
        "version " + (contract.empty() ? "unknown" : contract) + " (feed " + model.feed + ")",
        std::string("Install the same version of cineflow and of its client. ") + kWriteAgain);
  }
  model.info.idle_timeout_s =
      static_cast<double>(config.sequence_batching().max_sequence_idle_microseconds()) / 1e6;
  for (const auto& output : config.output()) {
    for (const TypeRow& row : kTypes) {
      if (row.in_config == output.data_type()) model.ports.push_back({output.name(), row.dtype});
    }
  }
  for (const TensorSpec& output : model.outputs) {
    if (model.travels_raw(output)) continue;
    TensorInfo described = output;
    described.unit = "px";
    described.dtype = DataType::kFloat32;
    described.names.clear();
    described.places.clear();
    model.in_pixels.push_back(std::move(described));
  }
  return model;
}

}  // namespace cineflow_client
