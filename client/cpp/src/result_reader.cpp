#include "result_reader.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "json.h"

namespace cineflow_client {
namespace {

[[noreturn]] void other_version(const std::string& got) {
  throw Error(Code::kServerRefused, "a response as this version of the contract has it", got,
              "Server and client have different versions: install the same version of both.");
}

/// A dense view of `bytes` bytes. `data` may hold more.
Tensor view_of(const cineflow_wire::ModelInferResponse::InferOutputTensor& output, const void* data,
               std::size_t bytes, bool exactly) {
  Tensor view;
  const auto dtype = dtype_on_wire(output.datatype());
  if (!dtype) other_version(output.name() + " of the datatype " + output.datatype());
  const Sizes shape(output.shape().begin(), output.shape().end());
  if (shape.size() > kMostAxes || !are_possible(shape)) {
    other_version(output.name() + " of the shape [" + words(shape, ", ") + "]");
  }
  const auto wanted = static_cast<std::uint64_t>(product(shape).value_or(0)) * size_of(*dtype);
  if (exactly ? wanted != bytes : wanted > bytes) {
    other_version(output.name() + " [" + words(shape, ", ") + "] with " + std::to_string(bytes) +
                  " bytes");
  }
  view.data = data;
  view.dtype = *dtype;
  view.rank = static_cast<int>(shape.size());
  auto stride = static_cast<std::int64_t>(size_of(*dtype));
  for (int axis = view.rank; axis-- > 0;) {
    view.shape[axis] = shape[static_cast<std::size_t>(axis)];
    view.strides[axis] = stride;
    stride *= std::max<std::int64_t>(view.shape[axis], 1);
  }
  return view;
}

template <typename Value, std::size_t kCount>
bool numbers(const Tensor& view, DataType dtype, Value (&values)[kCount]) {
  if (!view) return false;
  if (view.dtype != dtype || view.rank != 1 || view.shape[0] != kCount) {
    other_version("numbers of another type or count");
  }
  std::memcpy(values, view.data, sizeof(values));
  return true;
}

[[noreturn]] void other_form(const std::string& name, const Tensor& view,
                             const std::string& wanted) {
  const Sizes shape(view.shape, view.shape + view.rank);
  other_version(name + ": " + cineflow_client::name(view.dtype) + " [" + words(shape, ", ") +
                "] instead of " + wanted);
}

/// Throws unless an output is what its spec says. Sizes that follow from `sizes` are exact; the
/// first one of another axis is added.
void require_output(const TensorSpec& spec, const Tensor& view, AxisSizes& sizes) {
  bool right = view.dtype == spec.dtype && view.rank == static_cast<int>(spec.dims.size());
  for (std::size_t axis = 0; right && axis < spec.dims.size(); ++axis) {
    const Dim& dim = spec.dims[axis];
    const std::int64_t size = view.shape[axis];
    if (const auto known = dim.resolved(sizes)) {
      right = size == *known;
    } else if (dim.kind == Dim::Kind::kAxis) {
      right = dim.fits(size, sizes);
    }
  }
  if (!right) {
    other_form(spec.name, view, std::string(name(spec.dtype)) + " [" + spec.shape + "]");
  }
}

/// One size of a reading: a number, or what a letter stands for.
constexpr std::int64_t kAny = -1, kComponents = -2;

struct Form {
  const char* name;
  DataType dtype;
  std::int64_t first, second;  // 0: no such axis
  bool has_frame;              // the frame's axes follow
};

/// What docs/serving.md and the header say of the readings.
constexpr Form kForms[] = {
    {"flow", DataType::kFloat32, kComponents, 0, true},
    {"displacement", DataType::kFloat32, kComponents, 0, true},
    {"points", DataType::kFloat32, kAny, kComponents, false},
    {"confidence", DataType::kFloat32, kAny, 0, false},
    {"lengths", DataType::kFloat32, kAny, 0, false},
    {"areas", DataType::kFloat32, kAny, 0, false},
    {"strain", DataType::kFloat32, kAny, 0, true},
    {"state", DataType::kUint8, kAny, 0, false},
    {"notes", DataType::kUint8, kAny, 0, false},
};

Notes read_notes(const std::string& text) {
  Notes notes;
  try {
    const Json json = Json::parse(text);
    notes.unit = json.at("unit").as_text();
    notes.engine = json.at("engine").as_text();
    for (const auto& [name, why] : json.at("absent").members) notes.absent[name] = why.as_text();
  } catch (const JsonError& error) {
    other_version(std::string("notes with ") + error.what());
  }
  return notes;
}

std::int64_t whole(double value) {
  if (!(std::abs(value) < 9e15)) other_version("a count that is not a number");
  return static_cast<std::int64_t>(value);
}

template <typename Value>
Value one_of_four(double value) {
  if (!(value >= 0 && value <= 3)) other_version("a beat of a kind that does not exist");
  return static_cast<Value>(whole(value));
}

/// The bytes of a state, which are large: moved out of the response where nobody else wants them.
void take_state(Response& response, const Tensor& view, bool copies, std::string* state) {
  for (std::string& raw : *response.mutable_infer_response()->mutable_raw_output_contents()) {
    if (copies || raw.data() != view.data) continue;
    *state = std::move(raw);
    return;
  }
  state->assign(static_cast<const char*>(view.data), view.byte_size());
}

}  // namespace

ResultReader::ResultReader(std::shared_ptr<const Model> model, Padding padding, bool shows_state)
    : model_(std::move(model)), padding_(std::move(padding)), shows_state_(shows_state) {
  if (!padding_.size().empty()) sizes_ = model_->axis_sizes(padding_.size());
}

void ResultReader::require_reading(const std::string& name, const Tensor& view) const {
  const auto form = std::find_if(std::begin(kForms), std::end(kForms),
                                 [&name](const Form& one) { return name == one.name; });
  if (form == std::end(kForms)) return;
  const auto rank = static_cast<std::int64_t>(padding_.size().size());
  Sizes wanted{form->first};
  if (form->second != 0) wanted.push_back(form->second);
  if (form->has_frame) wanted.insert(wanted.end(), padding_.size().begin(), padding_.size().end());
  for (std::int64_t& size : wanted) {
    if (size == kComponents) size = rank;
  }
  if (name == "strain") wanted[0] = 3 * (rank - 1);
  bool right = view.dtype == form->dtype && view.rank == static_cast<int>(wanted.size());
  for (std::size_t axis = 0; right && axis < wanted.size(); ++axis) {
    right = wanted[axis] == kAny || view.shape[axis] == wanted[axis];
  }
  if (!right) {
    other_form(name, view,
               std::string(cineflow_client::name(form->dtype)) + " [" + words(wanted, ", ") + "]");
  }
}

std::shared_ptr<Result> ResultReader::read(std::unique_ptr<Response> response,
                                           std::shared_ptr<Memory> memory, int area, int spare,
                                           std::string* state) {
  auto kept = std::make_shared<Result::Kept>();
  kept->response = std::move(response);
  kept->model = model_;
  kept->memory = std::move(memory);
  kept->area = area;
  auto result = std::make_shared<Result>();
  read_tensors(*result, *kept);
  if (const Tensor found = result->tensor("state")) {
    take_state(*kept->response, found, shows_state_, state);
  }
  if (kept->area >= 0 && kept->memory->areas_left() < spare) {  // the caller keeps many results
    std::size_t bytes = 0;
    const auto in_ring = [&kept](const Tensor& view) { return kept->memory->holds(view.data); };
    for (const auto& [name, view] : result->tensors) {
      if (in_ring(view)) bytes += (view.byte_size() + 63) / 64 * 64;
    }
    kept->copied.resize(bytes);
    bytes = 0;
    for (auto& [name, view] : result->tensors) {
      if (!in_ring(view) || view.byte_size() == 0) continue;
      std::memcpy(kept->copied.data() + bytes, view.data, view.byte_size());
      view.data = kept->copied.data() + bytes;
      bytes += (view.byte_size() + 63) / 64 * 64;
    }
    kept->free_area();
  }
  read_readings(*result, *kept);
  result->kept = std::move(kept);
  return result;
}

std::shared_ptr<Result> ResultReader::read_call(std::unique_ptr<Response> response,
                                                const AxisSizes& sizes) {
  auto kept = std::make_shared<Result::Kept>();
  kept->response = std::move(response);
  kept->model = model_;
  auto result = std::make_shared<Result>();
  read_tensors(*result, *kept);
  AxisSizes known = sizes;
  for (const TensorSpec& output : model_->outputs) {
    const Tensor view = result->tensor(output.name);
    if (!view) {
      throw Error(Code::kServerRefused, "the output " + output.name, "none of that name");
    }
    require_output(output, view, known);
    result->outputs.push_back({&output, view});
  }
  result->kept = std::move(kept);
  return result;
}

void ResultReader::read_tensors(Result& result, Result::Kept& kept) const {
  const auto& message = kept.response->infer_response();
  const int count = message.outputs_size(), raw_count = message.raw_output_contents_size();
  const bool each = raw_count >= count;
  int next = 0;
  result.tensors.reserve(static_cast<std::size_t>(count));
  for (const auto& output : message.outputs()) {
    const Part* part = kept.area >= 0 ? kept.memory->part(output.name()) : nullptr;
    const bool in_message = each && !message.raw_output_contents(next).empty();
    if (part != nullptr && !in_message) {
      if (each) ++next;
      const auto* data = kept.memory->at(kept.memory->part_offset(kept.area, *part));
      result.tensors.emplace_back(output.name(), view_of(output, data, part->bytes, false));
      continue;
    }
    if (next >= raw_count) other_version(output.name() + " without values");
    const std::string& raw = message.raw_output_contents(next++);
    result.tensors.emplace_back(output.name(), view_of(output, raw.data(), raw.size(), true));
  }
}

void ResultReader::read_readings(Result& result, Result::Kept& kept) {
  std::int64_t indices[7];
  if (!numbers(result.tensor("indices"), DataType::kInt64, indices)) {
    other_version("a response without indices");
  }
  result.current = indices[0];
  result.previous = indices[1];
  result.reference = indices[2];
  result.described = indices[3];
  result.repeat = indices[4] != 0;
  result.gap_frames = indices[5];
  result.re_referenced = indices[6] != 0;
  const Tensor notes = result.tensor("notes");
  if (!notes || notes.dtype != DataType::kUint8) other_version("a response without notes");
  const std::string_view text(static_cast<const char*>(notes.data), notes.byte_size());
  if (notes_ == nullptr || text != last_notes_) {
    last_notes_.assign(text);
    notes_ = std::make_shared<Notes>(read_notes(last_notes_));
  }
  kept.notes = notes_;
  std::int64_t computed[2];
  if (!numbers(result.tensor("computed"), DataType::kInt64, computed)) {
    other_version("a response without the times of its computation");
  }
  result.times.started_s = 1e-9 * static_cast<double>(computed[0]);
  result.times.computed_s = 1e-9 * static_cast<double>(computed[1]);
  double parts[9], beat[5], told[4];
  if (numbers(result.tensor("deadline"), DataType::kFloat64, told)) {
    result.deadline = Deadline{std::nullopt, told[1], told[2], whole(told[3])};
    if (!std::isnan(told[0])) result.deadline->holds = told[0] != 0;
  }
  if (numbers(result.tensor("quality_parts"), DataType::kFloat64, parts)) {
    result.quality = Quality{parts[0], parts[1], parts[2], parts[3], parts[4],
                             parts[5], parts[6], parts[7], parts[8]};
  }
  if (numbers(result.tensor("beat_info"), DataType::kFloat64, beat)) {
    result.beat = BeatInfo{whole(beat[0]), one_of_four<Cause>(beat[1]), whole(beat[2]),
                           one_of_four<Rhythm>(beat[3]), beat[4]};
  }
  if (!shows_state_) {
    const auto end = std::remove_if(result.tensors.begin(), result.tensors.end(),
                                    [](const auto& one) { return one.first == "state"; });
    result.tensors.erase(end, result.tensors.end());
  }
  AxisSizes known = sizes_;
  for (auto& [name, view] : result.tensors) {
    require_reading(name, view);
    const TensorSpec* output = model_->output(name);
    if (output != nullptr && model_->travels_raw(*output)) require_output(*output, view, known);
    padding_.crop(name, view);
  }
  const std::pair<const char*, Tensor*> readings[] = {
      {"flow", &result.flow},       {"displacement", &result.displacement},
      {"points", &result.points},   {"confidence", &result.confidence},
      {"lengths", &result.lengths}, {"areas", &result.areas},
      {"strain", &result.strain},   {"state", &result.state},
  };
  for (const auto& [name, view] : readings) *view = result.tensor(name);
  add_outputs(result);
}

void ResultReader::add_outputs(Result& result) const {
  for (const TensorSpec& output : model_->outputs) {
    if (!model_->travels_raw(output)) continue;
    if (const Tensor view = result.tensor(output.name)) result.outputs.push_back({&output, view});
  }
  for (const TensorInfo& info : model_->in_pixels) {
    const Tensor& view = info.role == "flow" ? result.flow : result.displacement;
    if (view) result.outputs.push_back({&info, view});
  }
}

}  // namespace cineflow_client
