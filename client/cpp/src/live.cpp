#include "live.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "checks.h"
#include "errors.h"

namespace cineflow_client {
namespace {

/// How long a stream that is closed waits for its frames and the end of its sequence, and then for
/// the server to unmap its ring.
constexpr double kEndTimeoutS = 2.0, kReleaseTimeoutS = 1.0;

const StreamOptions& checked(const StreamOptions& options, const Model& model) {
  const auto wrong = [](const std::string& wanted, const std::string& got) {
    throw Error(Code::kCineflowClientError, wanted, got);
  };
  if (options.slots < 1 || options.slots > 1024) {
    wrong("from 1 to 1024 slots", std::to_string(options.slots));
  }
  const bool deadline = options.policy == Policy::kDeadline;
  if (deadline != (options.deadline_ms > 0) || options.line < 1 || options.line > 1024) {
    wrong(
        "a positive deadline_ms and a line of 1 to 1024 with the policy kDeadline, and only with "
        "it",
        "deadline_ms " + std::to_string(options.deadline_ms));
  }
  if (options.dtype != DataType::kUint8 && options.dtype != DataType::kFloat32) {
    throw Error(Code::kFrameRejected, "uint8 or float32 grey levels", name(options.dtype),
                "Convert the frames to float32 and scale them.");
  }
  if (options.size.size() != static_cast<std::size_t>(model.info.frame_rank)) {
    throw Error(Code::kFrameRejected,
                std::string("a grey frame [") + (model.info.frame_rank == 3 ? "D, " : "") + "H, W]",
                "[" + words(options.size, ", ") + "]",
                "StreamOptions::size has the size of every frame of the stream.");
  }
  for (const std::int64_t size : options.size) {
    if (size < 1 || size > kMostPixels) {
      wrong("sizes from 1 to " + std::to_string(kMostPixels) + " pixels",
            words(options.size, " x "));
    }
  }
  return options;
}

int buffer_count(const StreamOptions& options) {
  const int kept = options.resume_s > 0 ? kMostSent + options.slots : 0;
  const int waiting = options.policy == Policy::kEvery    ? 0
                      : options.policy == Policy::kNewest ? 2
                                                          : options.line + 1;
  return kept + 2 * options.slots + waiting + 1;
}

}  // namespace

Live::Live(std::shared_ptr<Connection> connection, std::shared_ptr<const Model> model,
           const StreamOptions& options, Opener opener)
    : connection_(std::move(connection)),
      model_(std::move(model)),
      options_(checked(options, *model_)),
      opener_(std::move(opener)),
      process_(getpid()),
      timeout_s_(options.timeout_s > 0 ? options.timeout_s : connection_->timeout_s()),
      declared_(declared(options)),
      other_process_(std::make_shared<Error>(other_process())),
      padding_(*model_, options.size),
      buffers_(buffer_count(options)),
      wanted_(model_->wanted_outputs(options.readings)),
      traffic_(options, !options.state.empty()),
      wants_given_(options.state.empty()),
      history_(options.state, options.slots) {
  model_->axis_sizes(padding_.size());
  shows_state_ = has(wanted_, "state");
  reader_ = std::make_unique<ResultReader>(model_, padding_, shows_state_);
  const std::int64_t pixels = product(padding_.size()).value_or(0);
  if (pixels < 1 || pixels > kMostInFrame) {
    throw Error(Code::kCineflowClientError, "frames of at most 2^40 pixels",
                words(padding_.size(), " x "), "Send smaller frames.");
  }
  frame_bytes_ = static_cast<std::size_t>(pixels) * size_of(options_.dtype);
  if (!options.spacing_mm.empty()) {
    at_start_["spacing_mm"] = checked_spacing(options.spacing_mm, model_->info.frame_rank);
  }
  session_ =
      std::make_shared<Session>(connection_, model_, declared_, 0, std::map<std::string, Given>());
  const auto memory =
      session_->settle(options_.transport, buffers_, frame_bytes_, options_.slots + kLeases,
                       wanted_, padding_.size(), options_.resume_s > 0, patience_);
  traffic_.use(std::make_shared<Frames>(memory, buffers_));
  feeder_ = std::thread([this] { feed(); });
  receiver_ = std::thread([this] { receive(); });
}

Live::~Live() { close(); }

bool Live::is_own() const noexcept { return getpid() == process_; }

// --- A sender's side -----------------------------------------------------------------------------

Slot Live::acquire(double wait_s, DataType dtype) noexcept {
  Slot slot;
  if (!is_own()) {
    slot.code_ = Code::kOtherProcess;
    return slot;
  }
  const bool fits = dtype == DataType::kUint8 ||
                    (dtype == DataType::kFloat32 && options_.dtype == DataType::kFloat32);
  if (!fits) {
    slot.code_ = Code::kFrameRejected;
    return slot;
  }
  FrameRef frame = traffic_.acquire(wait_s > 0 ? after(wait_s) : 0, &slot.code_);
  if (!frame) return slot;
  const Sizes& size = padding_.size();
  slot.data_ = frame.frames->memory->frame(frame.buffer);
  slot.row_stride_ = static_cast<std::size_t>(size.back()) * size_of(dtype);
  slot.slice_stride_ = slot.row_stride_ * static_cast<std::size_t>(size[size.size() - 2]);
  DataType& layout = frame.frames->layouts[static_cast<std::size_t>(frame.buffer)];
  if (layout != dtype) {  // the black around a padded frame is elsewhere
    if (padding_) std::memset(slot.data_, 0, frame.frames->memory->frame_bytes());
    layout = dtype;
  }
  slot.live_ = shared_from_this();
  slot.frames_ = std::move(frame.frames);
  slot.buffer_ = frame.buffer;
  slot.dtype_ = dtype;
  return slot;
}

void Live::give_back(Slot& slot) noexcept {
  if (slot.data_ == nullptr || !is_own()) return;
  traffic_.give_back({std::static_pointer_cast<Frames>(slot.frames_), slot.buffer_});
  slot.data_ = nullptr;
}

Submitted Live::submit(Slot& slot, const FrameInfo& info, bool helps) noexcept {
  if (slot.data_ == nullptr) return {slot.code_, 0};
  if (!is_own()) return {Code::kOtherProcess, 0};
  const bool right = (!info.index || (*info.index >= 0 && *info.index <= kLastIndex)) &&
                     (!info.time_ms || std::isfinite(*info.time_ms));
  const FrameRef frame{std::static_pointer_cast<Frames>(slot.frames_), slot.buffer_};
  if (!right) {
    give_back(slot);
    return {Code::kFrameRejected, 0};
  }
  slot.data_ = nullptr;
  Step& step = frame.step();
  step.dtype = slot.dtype_;
  step.index = info.index;
  step.beat = info.beat;
  step.time_ms = info.time_ms;
  step.given_count = info.given_count;
  if (step.given.size() < info.given_count) step.given.resize(info.given_count);
  for (std::size_t k = 0; k < info.given_count; ++k) copy_given(info.given[k], step.given[k]);
  const Submitted submitted = traffic_.submit(frame);
  if (submitted.code != Code::kOk) return submitted;
  if (helps) {
    help(submitted.frame);
  } else if (!leave_at_once()) {
    traffic_.tell();
  }
  return submitted;
}

void Live::copy_into(const Slot& slot, const FrameView& frame) const {
  if (frame.size != options_.size) {
    throw Error(Code::kFrameRejected,
                "a frame of " + words(options_.size, "x") + " pixels, as the stream was opened",
                words(frame.size, "x"),
                "After a change of depth or probe, close this stream and open a new one.");
  }
  const std::size_t row = static_cast<std::size_t>(frame.size.back()) * size_of(frame.dtype);
  const auto height = static_cast<std::size_t>(frame.size[frame.size.size() - 2]);
  const auto slices = frame.size.size() == 3 ? static_cast<std::size_t>(frame.size[0]) : 1;
  const auto* from = static_cast<const unsigned char*>(frame.data);
  for (std::size_t slice = 0; slice < slices; ++slice) {
    auto* to = static_cast<unsigned char*>(slot.data()) + slice * slot.slice_stride();
    if (row == slot.row_stride()) {
      std::memcpy(to, from, row * height);
      from += row * height;
      continue;
    }
    for (std::size_t y = 0; y < height; ++y, from += row, to += slot.row_stride()) {
      std::memcpy(to, from, row);
    }
  }
}

// --- Freezing ------------------------------------------------------------------------------------

void Live::freeze() noexcept {
  // The server drops an idle stream after its idle time; it is told three times within that.
  const double every_s = std::clamp(model_->info.idle_timeout_s / 3, 0.05, 1e6);
  if (is_own()) traffic_.freeze(static_cast<std::int64_t>(every_s * 1e9));
}

void Live::unfreeze() noexcept {
  if (is_own()) traffic_.freeze(0);
}

// --- Ending --------------------------------------------------------------------------------------

void Live::sequence_ended() {
  const std::lock_guard<std::mutex> guard(end_lock_);
  sequence_ended_ = true;
  end_.notify_all();
}

void Live::close() noexcept {
  if (!is_own()) return;
  const std::int64_t until = after(kEndTimeoutS);
  {
    std::unique_lock<std::mutex> guard(end_lock_);
    if (closing_) {
      end_.wait(guard, [this] { return joined_; });
      return;
    }
    closing_ = true;
    end_.notify_all();
  }
  patience_.end_in(kEndTimeoutS);  // a session that just begins
  traffic_.close();
  traffic_.drain(until);
  bool live = false;
  std::shared_ptr<Direct> direct;
  {
    const std::lock_guard<std::mutex> guard(session_lock_);
    live = session_->started && !interrupted_ && !traffic_.broken();
    if (live) direct = session_->direct;
  }
  if (direct != nullptr) direct->drain(until);  // the end by the call would overtake its frames
  if (live) {
    const std::lock_guard<std::mutex> guard(session_lock_);
    live = !interrupted_ && !traffic_.broken();
    if (live) session_->end();
  }
  if (live) {
    std::unique_lock<std::mutex> guard(end_lock_);
    const auto left = std::chrono::nanoseconds(until - now_ns());
    end_.wait_for(
        guard,
        std::min<std::chrono::duration<double>>(left, std::chrono::duration<double>(timeout_s_)),
        [this] { return sequence_ended_; });
  }
  patience_.end_in(kReleaseTimeoutS);
  fail(closed_stream());
  traffic_.stop();
  feeder_.join();
  receiver_.join();
  const std::lock_guard<std::mutex> guard(end_lock_);
  joined_ = true;
  end_.notify_all();
}

std::shared_ptr<Live> Live::another(const Sizes& size, const std::vector<double>& spacing_mm) {
  close();
  StreamOptions changed = options_;
  changed.size = size;
  changed.spacing_mm = spacing_mm;
  changed.state.clear();  // it belongs to the geometry before
  return opener_(changed);
}

std::shared_ptr<const Error> Live::error() noexcept {
  return is_own() ? traffic_.ended() : other_process_;
}

std::uint64_t Live::sequence_id() { return is_own() ? session()->sequence_id : 0; }

Transport Live::transport() {
  if (!is_own()) return Transport::kGrpc;
  const std::lock_guard<std::mutex> guard(session_lock_);
  return session_->transport;
}

std::string Live::transport_reason() {
  if (!is_own()) return "";
  const std::lock_guard<std::mutex> guard(session_lock_);
  return session_->transport_reason;
}

}  // namespace cineflow_client
