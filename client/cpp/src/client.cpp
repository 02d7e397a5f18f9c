#include <algorithm>
#include <mutex>
#include <thread>

#include "checks.h"
#include "control.h"
#include "errors.h"
#include "live.h"

namespace cineflow_client {
namespace {

/// Seconds for which `call` keeps what an alias stands for before it asks again.
constexpr double kAliasLifetimeS = 5.0;
/// How long `push` waits for a slot in a stream with the client's timeout.
constexpr double kDefaultTimeoutS = 10.0;

/// Let a forked child forget what is its parent's: neither gRPC nor the threads exist there.
template <typename Held>
void forget(Held&& held) noexcept {
  new std::remove_reference_t<Held>(std::move(held));
}

Error closed_client() {
  return {Code::kStreamClosed, "an open client", "one that was closed", "Make a new Client."};
}

}  // namespace

struct Client::Inside : std::enable_shared_from_this<Inside> {
  std::shared_ptr<Connection> connection;
  std::mutex closing;
  std::mutex lock;  // of what follows
  std::vector<std::weak_ptr<Live>> streams;
  bool closed = false;
  struct Known {
    std::shared_ptr<const Model> model;
    std::int64_t asked_ns;
  };
  std::map<std::string, Known> known;

  std::shared_ptr<const Model> recent(const std::string& name) {
    {
      const std::lock_guard<std::mutex> guard(lock);
      const auto found = known.find(name);
      if (found != known.end()) {
        const Known& one = found->second;
        const bool alias = one.model->info.served_name != name;
        if (!alias || now_ns() - one.asked_ns < static_cast<std::int64_t>(kAliasLifetimeS * 1e9)) {
          return one.model;
        }
      }
    }
    auto model = std::make_shared<const Model>(connection->model(name));
    const std::lock_guard<std::mutex> guard(lock);
    known[name] = {model, now_ns()};
    return model;
  }

  std::shared_ptr<Live> open(const std::string& name, const StreamOptions& options) {
    auto model = std::make_shared<const Model>(connection->model(name));
    const std::string& served_name = model->info.served_name;
    if (!model->info.streams) {
      throw Error(Code::kModelNotFound, "a model that takes a stream of frames",
                  served_name + ", which takes calls", "Client::call");
    }
    const auto opener = [from = weak_from_this(), served_name](const StreamOptions& changed) {
      const auto client = from.lock();
      if (client == nullptr) throw closed_client();
      return client->open(served_name, changed);
    };
    auto live = std::make_shared<Live>(connection, std::move(model), options, opener);
    std::unique_lock<std::mutex> guard(lock);
    if (closed) {  // meanwhile, by another thread
      guard.unlock();
      live->close();
      throw closed_client();
    }
    streams.erase(std::remove_if(streams.begin(), streams.end(),
                                 [](const std::weak_ptr<Live>& one) { return one.expired(); }),
                  streams.end());
    streams.push_back(live);
    return live;
  }
};

Client::Client(const std::string& url, const ClientOptions& options)
    : inside_(std::make_shared<Inside>()) {
  inside_->connection = std::make_shared<Connection>(url, options);
}

Client::Client(Client&&) noexcept = default;

Client::~Client() {
  if (inside_ == nullptr) return;
  if (inside_->connection->is_own()) {
    close();
  } else {
    forget(std::move(inside_));
  }
}

bool Client::is_ready() noexcept {
  try {
    return inside_->connection->ready();
  } catch (const std::exception&) {
    return false;
  }
}

std::string Client::server_version() { return inside_->connection->server_version(); }

std::map<std::string, std::string> Client::models() { return inside_->connection->models(); }

std::map<std::string, std::string> Client::aliases() {
  return cineflow_client::aliases(*inside_->connection);
}

void Client::load(const std::string& model) { cineflow_client::load(*inside_->connection, model); }

void Client::unload(const std::string& model) {
  cineflow_client::unload(*inside_->connection, model);
}

std::string Client::rollback(const std::string& alias) {
  return roll_back(*inside_->connection, alias);
}

ModelInfo Client::model(const std::string& name) { return inside_->connection->model(name).info; }

ServerTimes Client::times(const std::string& model) { return inside_->connection->times(model); }

Stream Client::stream(const std::string& name, const StreamOptions& options) {
  return Stream(inside_->open(name, options));
}

std::shared_ptr<const Result> Client::call(const std::string& name,
                                           const std::vector<Array>& arrays) {
  inside_->connection->require_own();  // a child's locks may be held for ever
  const auto model = inside_->recent(name);
  if (model->info.streams) {
    throw Error(Code::kModelNotFound, "a model that takes calls",
                model->info.served_name + ", which takes a stream of frames", "Client::stream");
  }
  std::vector<Given> given(arrays.size());
  for (std::size_t k = 0; k < arrays.size(); ++k) copy_given(arrays[k], given[k]);
  std::vector<const TensorSpec*> tensors;
  for (const TensorSpec& input : model->inputs) tensors.push_back(&input);
  AxisSizes sizes;
  check_arrays(model->info.served_name, tensors, given, given.size(), sizes);
  const std::string wrong = misplaced_points(*model, given);
  if (!wrong.empty()) {
    throw Error(Code::kFrameRejected, "points inside their pictures, apart from one another", wrong,
                "Points are in pixels of the pictures that are sent, x first.");
  }
  auto response = std::make_unique<Response>();
  try {
    *response->mutable_infer_response() = inside_->connection->infer(call_request(*model, given));
  } catch (...) {
    const std::lock_guard<std::mutex> guard(inside_->lock);
    inside_->known.erase(name);  // the alias may have moved on
    throw;
  }
  return ResultReader(model, Padding(), false).read_call(std::move(response), sizes);
}

void Client::close() noexcept {
  if (inside_ == nullptr || !inside_->connection->is_own()) return;
  const std::lock_guard<std::mutex> one_at_a_time(inside_->closing);
  std::vector<std::weak_ptr<Live>> streams;
  {
    const std::lock_guard<std::mutex> guard(inside_->lock);
    streams.swap(inside_->streams);
    inside_->closed = true;
  }
  std::vector<std::thread> closers;  // each may have to wait for its server
  for (const auto& one : streams) {
    const auto live = one.lock();
    if (live == nullptr) continue;
    try {
      closers.emplace_back([live] { live->close(); });
    } catch (const std::exception&) {  // no thread more
      live->close();
    }
  }
  for (std::thread& one : closers) one.join();
  inside_->connection->close();
}

// --- Slots ---------------------------------------------------------------------------------------

Slot::Slot(Slot&& other) noexcept { *this = std::move(other); }

Slot& Slot::operator=(Slot&& other) noexcept {
  if (this == &other) return *this;
  if (data_ != nullptr) live_->give_back(*this);
  if (live_ != nullptr && !live_->is_own()) forget(std::move(live_));
  live_ = std::move(other.live_);
  frames_ = std::move(other.frames_);
  buffer_ = other.buffer_;
  dtype_ = other.dtype_;
  code_ = other.code_;
  data_ = other.data_;
  row_stride_ = other.row_stride_;
  slice_stride_ = other.slice_stride_;
  other.data_ = nullptr;
  other.code_ = Code::kStreamClosed;
  return *this;
}

Slot::~Slot() {
  if (data_ != nullptr) live_->give_back(*this);
  if (live_ != nullptr && !live_->is_own()) forget(std::move(live_));
}

Submitted Slot::submit(const FrameInfo& info) noexcept {
  return live_ == nullptr ? Submitted{code_, 0} : live_->submit(*this, info, false);
}

// --- Streams -------------------------------------------------------------------------------------

Stream::Stream(std::shared_ptr<Live> live) noexcept : live_(std::move(live)) {}
Stream::Stream(Stream&& other) noexcept = default;

Stream& Stream::operator=(Stream&& other) noexcept {
  if (this != &other) {
    close();
    live_ = std::move(other.live_);
  }
  return *this;
}

Stream::~Stream() {
  if (live_ == nullptr) return;
  if (live_->is_own()) {
    live_->close();
  } else {
    forget(std::move(live_));
  }
}

Slot Stream::acquire(double wait_s) noexcept {
  return live_->acquire(wait_s, live_->options().dtype);
}

Slot Stream::acquire(double wait_s, DataType dtype) noexcept {
  return live_->acquire(wait_s, dtype);
}

namespace {

[[noreturn]] void raise(Live& live, Code code);

std::uint64_t copy_and_submit(Live& live, const FrameView& frame, const FrameInfo& info,
                              double wait_s, bool helps) {
  Slot slot = live.acquire(wait_s, frame.dtype);
  if (!slot) raise(live, slot.code());
  live.copy_into(slot, frame);
  const Submitted submitted = live.submit(slot, info, helps);
  if (submitted.code != Code::kOk) raise(live, submitted.code);
  return submitted.frame;
}

[[noreturn]] void raise(Live& live, Code code) {
  if (const auto why = live.error()) throw *why;
  switch (code) {
    case Code::kStreamBusy:
      throw Error(code, "a free slot", std::to_string(live.options().slots) + " frames in flight",
                  "Drop this frame, wait longer (wait_s), or open the stream with more slots.");
    default:
      throw Error(
          code,
          "a whole index from 0 to 2^62 and a finite time_ms; with a state and a policy that "
          "drops frames also an index; float32 frames only if the stream was opened for them",
          "another frame", "StreamOptions and FrameInfo say what each is for.");
  }
}

/// Throws where outcomes go to a callback.
void require_waiting(Live& live) {
  if (!live.options().on_outcome) return;
  throw Error(Code::kCineflowClientError, "a stream without on_outcome", "one that has it",
              "Take the outcome from on_outcome, and send with `submit`.");
}

}  // namespace

std::uint64_t Stream::submit(const FrameView& frame, const FrameInfo& info, double wait_s) {
  return copy_and_submit(*live_, frame, info, wait_s, false);
}

std::shared_ptr<const Result> Stream::push(const FrameView& frame, const FrameInfo& info) {
  const double wait_s =
      live_->options().timeout_s > 0 ? live_->options().timeout_s : kDefaultTimeoutS;
  require_waiting(*live_);
  // It waits anyway, so it also does the feeding thread's work.
  const Outcome outcome = live_->wait_for(copy_and_submit(*live_, frame, info, wait_s, true));
  if (outcome.error != nullptr) throw *outcome.error;
  return outcome.result;
}

bool Stream::poll(Outcome* outcome) noexcept {
  return live_->is_own() && live_->traffic().take(outcome, 0);
}

bool Stream::next(Outcome* outcome, double wait_s) noexcept {
  return live_->is_own() && live_->traffic().take(outcome, after(wait_s));
}

Outcome Stream::wait(std::uint64_t frame) {
  if (!live_->is_own()) raise(*live_, Code::kOtherProcess);
  require_waiting(*live_);
  return live_->traffic().wait(frame);
}

const ModelInfo& Stream::model() const noexcept { return live_->model().info; }
std::uint64_t Stream::sequence_id() const noexcept { return live_->sequence_id(); }
Transport Stream::transport() const noexcept { return live_->transport(); }
bool Stream::direct() const noexcept { return live_->direct(); }
std::string Stream::transport_reason() const { return live_->transport_reason(); }
std::uint64_t Stream::dropped() const noexcept { return live_->traffic().dropped(); }
std::uint64_t Stream::unread() const noexcept { return live_->traffic().unread(); }
std::uint64_t Stream::late_frames() const noexcept { return live_->late_frames(); }
void Stream::freeze() noexcept { live_->freeze(); }
void Stream::unfreeze() noexcept { live_->unfreeze(); }
std::uint64_t Stream::resumed() const noexcept { return live_->resumed(); }
std::shared_ptr<const Error> Stream::error() const noexcept { return live_->error(); }

Stream Stream::another(const std::vector<std::int64_t>& size,
                       const std::vector<double>& spacing_mm) {
  return Stream(live_->another(size, spacing_mm));
}

void Stream::close() noexcept {
  if (live_ != nullptr) live_->close();
}

}  // namespace cineflow_client
