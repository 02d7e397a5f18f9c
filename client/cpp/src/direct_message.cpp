#include "direct_message.h"

#include <charconv>
#include <cstring>

#include "json.h"

namespace cineflow_client {
namespace {

constexpr std::size_t kSizes = 8;
/// Bytes that are read at once, at least.
constexpr std::size_t kPiece = std::size_t{1} << 16;
/// Longest text of a number, and of what a frame's message has next to its lists.
constexpr std::size_t kMostDigits = 32, kMostBetween = 512;

void put_size(std::size_t size, char* out) noexcept {
  for (int k = 0; k < 4; ++k) out[k] = static_cast<char>(size >> 8 * k & 255);
}

std::size_t size_at(const char* bytes) noexcept {
  std::size_t size = 0;
  for (int k = 0; k < 4; ++k) {
    size |= static_cast<std::size_t>(static_cast<unsigned char>(bytes[k])) << 8 * k;
  }
  return size;
}

/// Writes one text after the other. There must be room.
class Writer {
 public:
  explicit Writer(char* out) : out_(out), at_(out) {}
  Writer& text(std::string_view words) noexcept {
    std::memcpy(at_, words.data(), words.size());
    at_ += words.size();
    return *this;
  }
  template <typename Number>
  Writer& number(Number value) noexcept {
    at_ = std::to_chars(at_, at_ + kMostDigits, value).ptr;
    return *this;
  }
  std::size_t size() const noexcept { return static_cast<std::size_t>(at_ - out_); }

 private:
  char *out_, *at_;
};

StateSaid state_of(const Json& said, std::string_view payload) {
  const auto& parts = said.as_list();
  if (parts.size() != 2) throw JsonError("a state of other parts");
  const std::int64_t bytes = parts[0].as_int();
  const StateSaid state{static_cast<std::size_t>(bytes), parts[1].as_bool(), payload};
  if (bytes < 0 || (!state.in_ring && state.bytes != payload.size())) {
    throw JsonError("a state of " + std::to_string(bytes) + " bytes");
  }
  return state;
}

}  // namespace

FrameWriter::FrameWriter(const Sizes& size, const std::vector<std::string>& outputs)
    : shape_("[" + words(size, ",") + "]"),
      outputs_(json_of(outputs)),
      state_apart_(!has(outputs, "state")) {}

std::size_t FrameWriter::most_bytes() const noexcept {
  return kMostBetween + shape_.size() + outputs_.size();
}

std::size_t FrameWriter::write(const DirectFrame& frame, const Told& told,
                               char* out) const noexcept {
  const Step& step = frame.frame.step();
  Writer header(out + kSizes);
  header.text(R"({"id":")").number(frame.number).text(R"(","frame_at":)");
  header.number(frame.frame.frames->memory->frame_offset(frame.frame.buffer)).text(R"(,"slot":)");
  frame.area >= 0 ? header.number(frame.area) : header.text("null");
  header.text(R"(,"dtype":")").text(name(step.dtype)).text(R"(","shape":)").text(shape_);
  header.text(R"(,"outputs":)").text(outputs_);
  if (frame.asked && state_apart_) {
    header.text(R"(,"state_slot":)");
    frame.state_room ? header.number(frame.frame.frames->memory->state_area())
                     : header.text("null");
  }
  if (step.index) header.text(R"(,"frame_index":)").number(*step.index);
  if (step.beat) header.text(*step.beat ? R"(,"beat":true)" : R"(,"beat":false)");
  if (step.time_ms) header.text(R"(,"time_ms":)").number(*step.time_ms);
  if (told.round_trip_us > 0) {
    header.text(R"(,"parameters":{"round_trip_us":)").number(told.round_trip_us);
    if (told.late_frames > 0) header.text(R"(,"late_frames":)").number(told.late_frames);
    header.text("}");
  }
  header.text("}");
  put_size(header.size(), out);
  put_size(0, out + 4);
  return kSizes + header.size();
}

std::string packed(const std::string& header) {
  std::string message(kSizes, '\0');
  put_size(header.size(), message.data());
  return message + header;
}

bool Incoming::next(Message* message) {
  std::size_t whole = kSizes;
  if (end_ - begin_ >= kSizes) {
    const char* start = bytes_.data() + begin_;
    const std::size_t header = size_at(start), payload = size_at(start + 4);
    if (header > kMostHeader) {
      throw JsonError("a message with a header of " + std::to_string(header) + " bytes");
    }
    whole += header + payload;
    if (end_ - begin_ >= whole) {
      *message = {{start + kSizes, header}, {start + kSizes + header, payload}};
      begin_ += whole;
      return true;
    }
  }
  if (begin_ > 0) {
    std::memmove(bytes_.data(), bytes_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  // What is announced gets memory as it comes: it may never come.
  if (room_bytes() < kPiece) {
    const std::size_t more = std::max(kPiece, std::min(bytes_.size(), whole - end_));
    bytes_.resize(end_ + more);
  }
  return false;
}

Said said_by(const Incoming::Message& message) {
  const Json header = Json::parse(message.header);
  if (header.kind != Json::Kind::kObject) throw JsonError("a header that is not an object");
  Said said;
  const Json* bye = header.find("bye");
  said.bye = bye != nullptr && bye->truth;
  if (said.bye) return said;
  if (const Json* state = header.find("state")) {
    said.state_of = header.at("id").as_text();
    said.state = state_of(*state, message.payload);
    return said;
  }
  said.response = std::make_unique<Response>();
  auto& inferred = *said.response->mutable_infer_response();
  inferred.set_id(header.at("id").as_text());
  said.response->set_error_message(header.text_of("error"));
  const Json* outputs = header.find("outputs");
  if (outputs == nullptr) {
    if (said.response->error_message().empty()) throw JsonError("neither outputs nor an error");
    return said;
  }
  std::string_view rest = message.payload;
  for (const Json& each : outputs->as_list()) {
    const auto& parts = each.as_list();
    if (parts.size() != 4) throw JsonError("an output of other parts");
    const auto dtype = dtype_named(parts[1].as_text());
    if (!dtype) throw JsonError("an output of the type " + parts[1].text);
    auto* output = inferred.add_outputs();
    output->set_name(parts[0].as_text());
    output->set_datatype(name_on_wire(*dtype));
    Sizes shape;
    for (const Json& size : parts[2].as_list()) shape.push_back(size.as_int());
    for (const std::int64_t size : shape) output->add_shape(size);
    std::string* contents = inferred.add_raw_output_contents();
    if (parts[3].as_bool()) continue;
    if (!are_possible(shape)) throw JsonError("an output of the shape " + words(shape, " x "));
    const auto bytes = static_cast<std::size_t>(product(shape).value_or(0)) * size_of(*dtype);
    if (bytes > rest.size()) throw JsonError("a payload that is too short");
    contents->assign(rest.substr(0, bytes));
    rest.remove_prefix(bytes);
  }
  return said;
}

}  // namespace cineflow_client
