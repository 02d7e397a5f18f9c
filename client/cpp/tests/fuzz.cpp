// Feeds the library what a broken or hostile server could send. It must end with a typed error or a
// result, whatever comes. The sanitizers watch.
//
//   fuzz ROUNDS SEED
#include <cstdio>
#include <cstdlib>
#include <random>

#include "errors.h"
#include "fuzz_direct.h"
#include "json.h"
#include "result_reader.h"

using namespace cineflow_client;

namespace {

std::mt19937_64 draw;

std::size_t below(std::size_t end) { return end == 0 ? 0 : draw() % end; }

std::string spec_text() {
  return R"({"name": "m", "feed": {"kind": "pair", "volume": false, "grey": [0, 255],
    "inputs": ["a", "b"], "at_start": ["queries"], "time_axis": null, "length": 1},
    "inputs": [
      {"name": "a", "dtype": "float32", "unit": "", "frame": "", "role": "", "names": [],
       "time_axis": null, "shape": [1, 1,
         {"name": "height", "minimum": 16, "maximum": 1024, "multiple": 16},
         {"name": "width", "minimum": 16, "maximum": 1024, "multiple": 16}]},
      {"name": "b", "dtype": "float32", "unit": "", "frame": "", "role": "", "names": [],
       "time_axis": null, "shape": [1, 1, 64, 80]},
      {"name": "queries", "dtype": "float32", "unit": "px", "frame": "", "role": "points",
       "names": ["p"], "time_axis": null, "shape": [1, 3, 2]}],
    "outputs": [
      {"name": "labels", "dtype": "uint8", "unit": "", "frame": "", "role": "labels",
       "names": ["x", "y"], "time_axis": null, "shape": [1,
         {"axis": {"name": "height", "minimum": 16, "maximum": 1024, "multiple": 16},
          "numerator": 1, "denominator": 4}, 20]},
      {"name": "move", "dtype": "float32", "unit": "px", "frame": "", "role": "flow", "names": [],
       "time_axis": null, "shape": [1, 2, 64, 80]}]})";
}

cineflow_wire::ModelConfig config() {
  cineflow_wire::ModelConfig made;
  made.set_name("m-1234");
  (*made.mutable_parameters())["contract"].set_string_value(std::to_string(kContract));
  (*made.mutable_parameters())["spec"].set_string_value(spec_text());
  const std::pair<const char*, int> ports[] = {
      {"labels", 2}, {"flow", 11},   {"displacement", 11}, {"quality_parts", 12}, {"beat_info", 12},
      {"state", 2},  {"indices", 9}, {"notes", 2},         {"computed", 9},       {"deadline", 12}};
  for (const auto& [name, type] : ports) {
    auto* output = made.add_output();
    output->set_name(name);
    output->set_data_type(type);
  }
  return made;
}

void add(Response& response, const char* name, const char* type, std::vector<std::int64_t> shape,
         std::string raw) {
  auto* output = response.mutable_infer_response()->add_outputs();
  output->set_name(name);
  output->set_datatype(type);
  for (const std::int64_t size : shape) output->add_shape(size);
  response.mutable_infer_response()->add_raw_output_contents(std::move(raw));
}

Response good() {
  Response response;
  response.mutable_infer_response()->set_id("7");
  add(response, "labels", "UINT8", {1, 16, 20}, std::string(320, '\1'));
  add(response, "flow", "FP32", {2, 64, 80}, "");  // in the ring
  add(response, "quality_parts", "FP64", {9}, std::string(72, '\0'));
  add(response, "beat_info", "FP64", {5}, std::string(40, '\0'));
  add(response, "state", "UINT8", {3}, "abc");
  add(response, "indices", "INT64", {7}, std::string(56, '\0'));
  add(response, "computed", "INT64", {2}, std::string(16, '\0'));
  add(response, "deadline", "FP64", {4}, std::string(32, '\0'));
  const std::string notes = R"({"unit": "px", "absent": {"points": "why"}, "engine": "e"})";
  add(response, "notes", "UINT8", {static_cast<std::int64_t>(notes.size())}, notes);
  return response;
}

/// One change of the kind that a broken server could make.
void spoil(Response& response) {
  static const char* const kNames[] = {"flow",    "labels", "indices", "notes",
                                       "strange", "",       "state"};
  static const char* const kTypes[] = {"FP16", "FP32", "BYTES", "", "INT64", "UINT8", "FP64"};
  static const std::int64_t kSizes[] = {0, -1, 1, 7, 1 << 20, std::int64_t{1} << 61, INT64_MIN};
  auto& inferred = *response.mutable_infer_response();
  const auto any = [&inferred]() {
    return inferred.mutable_outputs(
        static_cast<int>(below(static_cast<std::size_t>(inferred.outputs_size()))));
  };
  if (inferred.outputs_size() == 0) return;
  switch (below(10)) {
    case 9: {  // a product of 0 from sizes that have none
      auto* output = any();
      output->clear_shape();
      for (const std::int64_t size :
           {std::int64_t{0}, std::int64_t{1} << 61, std::int64_t{1} << 61}) {
        output->add_shape(size);
      }
      break;
    }
    case 0:
      any()->set_datatype(kTypes[below(7)]);
      break;
    case 1:
      any()->set_name(kNames[below(7)]);
      break;
    case 2:
      any()->add_shape(kSizes[below(7)]);
      break;
    case 3: {
      auto* output = any();
      if (output->shape_size() > 0) {
        output->set_shape(static_cast<int>(below(static_cast<std::size_t>(output->shape_size()))),
                          kSizes[below(7)]);
      }
      break;
    }
    case 4:
      inferred.mutable_outputs()->RemoveLast();
      break;
    case 5:
      if (inferred.raw_output_contents_size() > 0) {
        inferred.mutable_raw_output_contents()->RemoveLast();
      }
      break;
    case 6:
      if (inferred.raw_output_contents_size() > 0) {
        auto* raw = inferred.mutable_raw_output_contents(
            static_cast<int>(below(static_cast<std::size_t>(inferred.raw_output_contents_size()))));
        raw->resize(below(raw->size() + 9));
      }
      break;
    case 7:
      if (inferred.raw_output_contents_size() > 0) {
        auto* raw = inferred.mutable_raw_output_contents(
            static_cast<int>(below(static_cast<std::size_t>(inferred.raw_output_contents_size()))));
        if (!raw->empty()) (*raw)[below(raw->size())] = static_cast<char>(draw());
      }
      break;
    default: {  // the bytes of the whole message
      std::string bytes = response.SerializeAsString();
      if (below(2) == 0) bytes.resize(below(bytes.size() + 1));
      if (!bytes.empty()) bytes[below(bytes.size())] = static_cast<char>(draw());
      Response read;
      read.ParseFromString(bytes);
      response = read;
    }
  }
}

std::string spoiled(std::string text) {
  for (std::size_t changes = 1 + below(4); changes > 0 && !text.empty(); --changes) {
    switch (below(4)) {
      case 0:
        text.resize(below(text.size() + 1));
        break;
      case 1:
        text[below(text.size())] = static_cast<char>(draw());
        break;
      case 2:
        text.erase(below(text.size()), 1 + below(8));
        break;
      default:
        text.insert(below(text.size()), text.substr(below(text.size()), below(12)));
    }
  }
  return text;
}

/// What a server says that it would have wrap sizes around.
bool refuses_absurd_sizes() {
  const auto sized = [](const char* multiple) {
    std::string text = spec_text();
    for (std::size_t at = 0; (at = text.find("1024, \"multiple\": 16", at)) != std::string::npos;) {
      text.replace(at, 20, std::string("8000000000000000, \"multiple\": ") + multiple);
    }
    auto made = config();
    (*made.mutable_parameters())["spec"].set_string_value(text);
    return read_model("m", made);
  };
  for (const char* multiple : {"1253", "507657321014656", "2097152", "8000000000000000"}) {
    const Padding padding(sized(multiple), {600, 800});
    for (const std::int64_t size : padding.size()) {
      if (size > kMostPixels) return false;
    }
  }
  // 29 frames that are a little larger than 2^64 / 29.
  const std::size_t sizes[] = {UINT64_MAX, UINT64_MAX / 29 + 64, (std::size_t{1} << 62) / 28};
  for (const std::size_t bytes : sizes) {
    try {
      Memory::own(29, bytes);
      return false;
    } catch (const Error&) {
    }
    try {
      Memory::shared(1, 64, 29, {{"flow", bytes, 0}, {"labels", bytes, 0}},
                     [](const std::string&, std::size_t) {});
      return false;
    } catch (const Error&) {
    }
  }
  return true;
}

/// Whether the readings have the types and ranks that the header promises.
bool promised(const Result& result) {
  const auto right = [](const Tensor& view, DataType dtype, int rank) {
    return !view || (view.dtype == dtype && view.rank == rank);
  };
  bool all = right(result.flow, DataType::kFloat32, 3) &&
             right(result.displacement, DataType::kFloat32, 3) &&
             right(result.points, DataType::kFloat32, 2) &&
             right(result.state, DataType::kUint8, 1);
  if (result.flow) all = all && result.flow.shape[0] == 2 && result.flow.shape[1] == 60;
  const Output* labels = result.output("labels");
  return all && (labels == nullptr || right(labels->values, DataType::kUint8, 3));
}

/// Touch every value that the result says it has.
unsigned use(const Result& result) {
  unsigned sum = 0;
  for (const auto& [name, view] : result.tensors) {
    std::vector<unsigned char> bytes(view.byte_size());
    view.copy_to(bytes.data());
    for (const unsigned char one : bytes) sum += one;
    sum += static_cast<unsigned>(result.absent(name).size());
  }
  return sum + static_cast<unsigned>(result.unit().size() + result.outputs.size());
}

constexpr int kAreas = 3;

/// Three areas, and room for a state.
std::shared_ptr<Memory> a_ring() {
  return Memory::shared(
      2, 5120, kAreas, {{"flow", 2 * 64 * 80 * 4, 0}}, [](const std::string&, std::size_t) {}, 4);
}

int an_area(Memory& memory) { return below(4) == 0 ? -1 : memory.take_area(); }

bool all_free(Memory& memory) { return memory.areas_left() == kAreas; }

}  // namespace

int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 1000;
  draw.seed(count > 2 ? std::strtoull(arguments[2], nullptr, 10) : 0);
  const auto model = std::make_shared<const Model>(read_model("m", config()));
  const Padding padding(*model, {60, 80});
  if (!refuses_absurd_sizes()) return 1;
  int results = 0, refused = 0;
  unsigned sum = 0;
  for (int round = 0; round < rounds; ++round) {
    const auto memory = a_ring();
    ResultReader reader(model, padding, round % 2 == 0);
    for (int k = 0; k < 50; ++k) {
      auto response = std::make_unique<Response>(good());
      for (std::size_t changes = below(3); changes > 0; --changes) spoil(*response);
      std::string state;
      try {
        const int area = an_area(*memory);
        const auto result =
            reader.read(std::move(response), memory, area, static_cast<int>(below(4)), &state);
        if (!promised(*result)) return 1;
        sum += use(*result);
        ++results;
      } catch (const Error& error) {
        if (error.code() != Code::kServerRefused) return 1;
        ++refused;
      }
    }
    if (!all_free(*memory)) return 1;  // a refused response gives its area back
    try {
      Json::parse(spoiled(spec_text()));
    } catch (const JsonError&) {
      ++refused;
    }
    try {
      auto changed = config();
      (*changed.mutable_parameters())["spec"].set_string_value(spoiled(spec_text()));
      const Model other = read_model("m", changed);
      if (other.info.streams) {
        const Padding changed_padding(other,
                                      Sizes(static_cast<std::size_t>(other.info.frame_rank), 64));
        for (const Port& port : other.ports) {
          sum += static_cast<unsigned>(other.ring_bytes(port, changed_padding.size()));
        }
        sum += static_cast<unsigned>(other.state_bytes(changed_padding.size()));
      }
      ++results;
    } catch (const Error&) {
      ++refused;
    }
    const std::string said =
        R"([request id: 7] FrameError: {"wanted": "a", "got": "b\u00e9\ud83d\ude00", "remedy": "c"})";
    sum += static_cast<unsigned>(error_from_message(spoiled(said), "m").code());
  }
  const auto memory = a_ring();
  ResultReader reader(model, padding, false);
  const auto direct = fuzz_direct(rounds, below, spoiled, [&](std::unique_ptr<Response> response) {
    std::string state;
    try {
      const int area = an_area(*memory);
      const auto result = reader.read(std::move(response), memory, area, 0, &state);
      sum += use(*result);
      return true;
    } catch (const Error&) {
      ++refused;
      return false;
    }
  });
  if (!direct || *direct == 0 || !all_free(*memory)) return 1;
  std::printf("direct %d ", *direct);
  std::printf("results %d refused %d sum %u\n", results, refused, sum);
  return results > 0 && refused > 0 ? 0 : 1;
}
