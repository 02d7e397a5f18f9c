#include "session.h"

#include <algorithm>

#include "random.h"

namespace cineflow_client {
namespace {

constexpr std::int64_t kAskNs = 1000000000;

/// From 1 to 2^62: 0 is refused by the server.
std::uint64_t draw_id() { return (draw_bits() & ((std::uint64_t{1} << 62) - 1)) + 1; }

void set_int(Request& request, const char* name, std::uint64_t value) {
  (*request.mutable_parameters())[name].set_int64_param(static_cast<std::int64_t>(value));
}

Request sequence_request(const Model& model, std::uint64_t sequence, std::string id, bool start) {
  Request request;
  request.set_model_name(model.info.served_name);
  request.set_id(std::move(id));
  set_int(request, "sequence_id", sequence);
  (*request.mutable_parameters())["sequence_start"].set_bool_param(start);
  return request;
}

Request::InferInputTensor* declare(Request& request, const std::string& name, DataType dtype,
                                   const Sizes& shape) {
  auto* tensor = request.add_inputs();
  tensor->set_name(name);
  tensor->set_datatype(name_on_wire(dtype));
  for (const std::int64_t size : shape) tensor->add_shape(size);
  return tensor;
}

void add_input(Request& request, const std::string& name, DataType dtype, const Sizes& shape,
               const void* data, std::size_t bytes) {
  declare(request, name, dtype, shape);
  request.add_raw_input_contents(data, bytes);
}

void add_given(Request& request, const Given& given) {
  add_input(request, given.name, given.dtype, given.shape, given.bytes.data(), given.bytes.size());
}

/// Further inputs of each frame travel in the call's messages.
bool may_be_direct(const Model& model) {
  return std::all_of(model.inputs.begin(), model.inputs.end(), [&model](const TensorSpec& one) {
    return has(model.feed_inputs, one.name) || has(model.at_start, one.name);
  });
}

template <typename Tensor>
void point_at(Tensor* tensor, const Memory& memory, std::size_t offset, std::size_t bytes) {
  auto& parameters = *tensor->mutable_parameters();
  parameters["shared_memory_region"].set_string_param(memory.region());
  parameters["shared_memory_offset"].set_int64_param(static_cast<std::int64_t>(offset));
  parameters["shared_memory_byte_size"].set_int64_param(static_cast<std::int64_t>(bytes));
}

}  // namespace

Session::Session(std::shared_ptr<Connection> connection, std::shared_ptr<const Model> model,
                 const Declared& declared, std::uint64_t resumed,
                 std::map<std::string, Given> at_start_)
    : sequence_id(draw_id()),
      link(connection, declared.traceparent),
      at_start(std::move(at_start_)),
      connection_(std::move(connection)),
      model_(std::move(model)),
      declared_(declared),
      resumed_(resumed) {}

std::shared_ptr<Memory> Session::settle(Transport wanted_transport, int frames,
                                        std::size_t frame_bytes, int areas,
                                        const std::vector<std::string>& wanted, const Sizes& size,
                                        bool keeps_state, const Patience& patience) {
  if (wanted_transport != Transport::kGrpc) {
    std::vector<Part> parts;
    for (const Port& port : model_->ports) {
      const std::size_t bytes = model_->ring_bytes(port, size);
      if (bytes > 0 && has(wanted, port.name)) parts.push_back({port.name, bytes, 0});
    }
    const bool in_ring = keeps_state && !has(wanted, "state") && may_be_direct(*model_);
    try {
      memory = Memory::shared(
          frames, frame_bytes, areas, std::move(parts),
          [&](const std::string& name, std::size_t bytes) {
            connection_->register_memory(name, bytes, &patience);
          },
          in_ring ? model_->state_bytes(size) : 0);
      region_ = memory->region();
      transport = Transport::kSharedMemory;
      return memory;
    } catch (const Error& error) {
      const bool impossible = error.code() == Code::kSharedMemoryUnavailable;
      if (!impossible || wanted_transport == Transport::kSharedMemory) throw;
      transport_reason = error.what();
    }
  }
  return Memory::own(frames, frame_bytes);
}

Request Session::request(const std::string& id, const Step& step, const unsigned char* pixels,
                         const Sizes& size, const FrameRef& frame, int area,
                         const std::vector<std::string>& outputs) {
  const bool start = !started;
  const std::shared_ptr<Memory> ring = memory;
  Request request = sequence_request(*model_, sequence_id, id, start);
  const char* input = step.dtype == DataType::kUint8 ? "frame" : "frame_f32";
  const auto bytes = static_cast<std::size_t>(product(size).value_or(0)) * size_of(step.dtype);
  if (frame && ring != nullptr && frame.frames->memory == ring) {
    point_at(declare(request, input, step.dtype, size), *ring, ring->frame_offset(frame.buffer),
             bytes);
  } else {
    add_input(request, input, step.dtype, size, pixels, bytes);
  }
  if (step.index) {
    add_input(request, "frame_index", DataType::kInt64, {1}, &*step.index, sizeof(*step.index));
  }
  if (step.beat) {
    const unsigned char beat = *step.beat ? 1 : 0;
    add_input(request, "beat", DataType::kBool, {1}, &beat, 1);
  }
  if (step.time_ms) {
    add_input(request, "time_ms", DataType::kFloat64, {1}, &*step.time_ms, sizeof(*step.time_ms));
  }
  for (std::size_t k = 0; k < step.given_count; ++k) {
    add_given(request, step.given[k]);
  }
  if (start) {
    starter = id;
    for (const auto& [name, given] : at_start) add_given(request, given);
    Request watch = sequence_request(*model_, draw_id(), "watch", true);
    (*watch.mutable_parameters())["sequence_end"].set_bool_param(true);
    set_int(watch, "watch", sequence_id);
    link.watch(std::move(watch));
  }
  for (const std::string& name : outputs) {
    auto* output = request.add_outputs();
    output->set_name(name);
    const Part* part = area >= 0 && ring != nullptr ? ring->part(name) : nullptr;
    if (part != nullptr) point_at(output, *ring, ring->part_offset(area, *part), part->bytes);
  }
  started = true;
  if (told_.round_trip_us > 0) {
    set_int(request, "round_trip_us", static_cast<std::uint64_t>(told_.round_trip_us));
    if (told_.late_frames > 0) set_int(request, "late_frames", told_.late_frames);
    told_ = {};
  }
  if (start) declare_stream(request);
  if (start && ring != nullptr && may_be_direct(*model_)) set_int(request, "direct", 1);
  return request;
}

void Session::declare_stream(Request& request) const {
  if (declared_.period_us > 0) {
    set_int(request, "period_us", static_cast<std::uint64_t>(declared_.period_us));
    set_int(request, "budget_us", static_cast<std::uint64_t>(declared_.budget_us));
  }
  if (!declared_.traceparent.empty()) {
    (*request.mutable_parameters())["traceparent"].set_string_param(declared_.traceparent);
  }
  if (resumed_ > 0) set_int(request, "resumed", resumed_);
}

void Session::tell(std::int64_t round_trip_us, std::uint64_t late_frames) noexcept {
  told_ = {round_trip_us, late_frames};
}

std::shared_ptr<Direct> Session::open_direct(const std::string& name, const Sizes& size,
                                             const std::vector<std::string>& outputs, int slots,
                                             const std::function<bool()>& given_up) const {
  return std::make_shared<Direct>(name, sequence_id, *memory, FrameWriter(size, outputs), slots,
                                  given_up);
}

bool Session::send_directly(const DirectFrame& frame, bool leads) noexcept {
  const Told told = told_;
  told_ = {};
  return direct->send(frame, told, leads);
}

void Session::ask_now_and_then() {
  const std::int64_t now = now_ns();
  if (now - asked_ns_ < kAskNs) return;
  asked_ns_ = now;
  link.send(keep_alive_request());
}

void Session::end() {
  if (direct != nullptr) direct->end();
  link.send(end_request());
}

void Session::hang_up() noexcept {
  link.hang_up();
  if (direct != nullptr) direct->close();
}

Request Session::keep_alive_request() const {
  Request request = sequence_request(*model_, sequence_id, kAliveId, false);
  (*request.mutable_parameters())["keep_alive"].set_bool_param(true);
  return request;
}

Request Session::end_request() const {
  Request request = sequence_request(*model_, sequence_id, kEndId, false);
  (*request.mutable_parameters())["sequence_end"].set_bool_param(true);
  return request;
}

std::shared_ptr<Memory> Session::finish() noexcept {
  over = true;
  return std::move(memory);
}

void Session::release(const Patience& patience) noexcept {
  if (!region_.empty()) connection_->release_memory(region_, &patience);
  region_.clear();
}

Request probe_request(const std::string& served_name) {
  Model model;
  model.info.served_name = served_name;
  Request request = sequence_request(model, draw_id(), "alive", true);
  (*request.mutable_parameters())["sequence_end"].set_bool_param(true);
  return request;
}

Request call_request(const Model& model, const std::vector<Given>& arrays) {
  Request request;
  request.set_model_name(model.info.served_name);
  for (const Given& array : arrays) add_given(request, array);
  for (const TensorSpec& output : model.outputs) request.add_outputs()->set_name(output.name);
  return request;
}

}  // namespace cineflow_client
