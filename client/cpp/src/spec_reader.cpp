// The spec of a model, read from the configuration that the server publishes.
#include "json.h"
#include "spec.h"
#include "wire.pb.h"

namespace cineflow_client {
namespace {

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
  if (const Json* states = spec.find("states")) {
    for (const Json& one : states->as_list()) model.states.push_back(read_tensor(one));
  }
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
    const auto dtype = dtype_in_config(output.data_type());
    if (dtype) model.ports.push_back({output.name(), *dtype});
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
