#include "traffic.h"

#include <algorithm>

#include "errors.h"

namespace cineflow_client {
namespace {

/// Outcomes that nobody takes are given up beyond this many.
constexpr std::size_t kMostOutcomes = 64;
constexpr std::size_t kMostDrops = 256;
/// How long a server that refuses a stream may take to end its sequence.
constexpr double kHangUpS = 2;

std::size_t line_length(const StreamOptions& options) {
  if (options.policy == Policy::kEvery) return 1;
  return options.policy == Policy::kNewest ? 2 : static_cast<std::size_t>(options.line) + 1;
}

}  // namespace

Traffic::Traffic(const StreamOptions& options, bool from_state)
    : policy_(options.policy),
      from_state_(from_state),
      slots_(options.slots),
      line_most_(line_length(options) - 1),
      oldest_ns_(static_cast<std::int64_t>(std::min(options.deadline_ms, 1e9) * 1e6)),
      on_outcome_(options.on_outcome),
      queue_(static_cast<std::size_t>(options.slots) + 1),
      line_(line_length(options)),
      drops_(kMostDrops),
      outcomes_(kMostOutcomes + static_cast<std::size_t>(options.slots)),
      flights_(static_cast<std::size_t>(options.slots)),
      closed_error_(std::make_shared<Error>(closed_stream())) {}

// --- A sender's side -----------------------------------------------------------------------------

FrameRef Traffic::acquire(std::int64_t until_ns, Code* code) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  while (true) {
    if (broken_ != nullptr || closed_) {
      *code = broken_ != nullptr ? broken_->code() : Code::kStreamClosed;
      return {};
    }
    const bool slot = policy_ != Policy::kEvery || in_use_ < slots_;
    if (slot && frames_->free.empty() && !line_.empty()) drop_oldest();
    if (slot && !frames_->free.empty()) break;
    if (until_ns == 0 || !freed_.wait(lock_, until_ns)) {
      *code = Code::kStreamBusy;
      return {};
    }
  }
  if (policy_ == Policy::kEvery) ++in_use_;
  const int buffer = frames_->free.back();
  frames_->free.pop_back();
  *code = Code::kOk;
  return {frames_, buffer};
}

void Traffic::give_back(const FrameRef& frame) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  frame.frames->free.push_back(frame.buffer);
  if (policy_ == Policy::kEvery) --in_use_;
  freed_.notify_one();
}

Submitted Traffic::submit(const FrameRef& frame, bool tell) noexcept {
  Step& step = frame.step();
  step.sent_ns = now_ns();
  Submitted submitted;
  {
    const std::lock_guard<Lock> guard(lock_);
    alive_every_ns_ = 0;
    if (broken_ != nullptr || closed_) {
      submitted.code = broken_ != nullptr ? broken_->code() : Code::kStreamClosed;
    } else if (policy_ != Policy::kEvery && !step.index && from_state_) {
      submitted.code = Code::kFrameRejected;  // frames may be dropped, and the server counts on
    } else {
      submitted.frame = step.number = next_number_++;
      if (policy_ == Policy::kEvery) {
        queue_.push(frame);
      } else {
        if (!step.index) step.index = static_cast<std::int64_t>(step.number);
        drop_late();
        while (line_.size() >= line_most_) drop_oldest();
        line_.push(frame);
      }
    }
  }
  if (submitted.code != Code::kOk) {
    give_back(frame);
  } else if (tell) {
    work_.notify_one();
  }
  return submitted;
}

bool Traffic::take(Outcome* outcome, std::int64_t until_ns) noexcept {
  Outcome taken;  // what `outcome` held goes after the lock
  {
    const std::lock_guard<Lock> guard(lock_);
    while (outcomes_.empty()) {
      if (broken_ != nullptr && drops_.empty() && !telling_) return false;  // nothing comes
      if (until_ns == 0 || !arrived_.wait(lock_, until_ns)) return false;
    }
    taken = outcomes_.pop();
  }
  std::swap(*outcome, taken);
  return true;
}

void Traffic::drop_oldest() noexcept {
  FrameRef frame = line_.pop();
  const Step& step = frame.step();
  ++dropped_count_;
  if (drops_.full()) {
    drops_.pop();
    ++unread_;
    arrived_.notify_all();
  }
  drops_.push({step.number, step.index.value_or(0)});
  release(frame);
  work_.notify_one();
}

void Traffic::drop_late() noexcept {
  if (policy_ != Policy::kDeadline) return;
  const std::int64_t now = now_ns();
  while (!line_.empty() && now - line_.at(0).step().sent_ns > oldest_ns_) drop_oldest();
}

void Traffic::release(FrameRef& frame) noexcept {
  if (!frame) return;
  frame.frames->free.push_back(frame.buffer);
  freed_.notify_one();
  frame = {};
}

// --- The feeding thread's side -------------------------------------------------------------------

Traffic::Item Traffic::next_work(std::int64_t timeout_ns) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  Item item;
  while (true) {
    if (!stopped_) drop_late();
    if (!drops_.empty()) {
      const Drop drop = drops_.pop();
      telling_ = drop.number;
      item.work = Work::kDropped;
      item.number = drop.number;
      item.index = drop.index;
      return item;
    }
    if (!ended_.empty()) {
      item.work = Work::kEnded;
      item.ended.swap(ended_);
      return item;
    }
    if (stopped_) return item;
    std::int64_t until = kNever;
    item.frame = to_send();
    if (item.frame) {
      item.work = Work::kSend;
      return item;
    }
    if (!interrupted_) {
      for (const Flight& one : flights_) {
        if (one.used) until = std::min(until, one.waits_ns + timeout_ns);
      }
      if (until != kNever && now_ns() >= until) {
        item.work = Work::kLate;
        return item;
      }
      if (alive_every_ns_ > 0) {
        const std::int64_t now = now_ns();
        if (now >= alive_ns_) {
          alive_ns_ = now + alive_every_ns_;
          item.work = Work::kAlive;
          return item;
        }
        until = std::min(until, alive_ns_);
      }
    }
    if (hang_up_ns_ != kNever && now_ns() >= hang_up_ns_) {
      hang_up_ns_ = kNever;
      item.work = Work::kHangUp;
      return item;
    }
    until = std::min(until, hang_up_ns_);
    if (policy_ == Policy::kDeadline && !line_.empty()) {
      until = std::min(until, line_.at(0).step().sent_ns + oldest_ns_ + 1);
    }
    left_.notify_all();
    wakes_ns_ = until;
    work_.wait(lock_, until);
  }
}

FrameRef Traffic::to_send() noexcept {
  if (interrupted_ || sending_ || (queue_.empty() && line_.empty())) return {};
  const auto free =
      std::find_if(flights_.begin(), flights_.end(), [](const Flight& one) { return !one.used; });
  if (free == flights_.end()) return {};
  if (policy_ != Policy::kEvery) ++in_use_;
  FrameRef frame = queue_.empty() ? line_.pop() : queue_.pop();
  const Step& step = frame.step();
  free->used = true;
  free->number = step.number;
  free->frame = frame;
  free->area = -1;
  free->time_ms = step.time_ms;
  free->sent_ns = free->waits_ns = step.sent_ns;
  sending_ = true;
  return frame;
}

FrameRef Traffic::next_frame(std::int64_t timeout_ns) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  if (stopped_) return {};
  drop_late();
  const FrameRef frame = to_send();
  // The feeding thread sees to it that the result comes in time.
  if (frame && frame.step().sent_ns + timeout_ns < wakes_ns_) work_.notify_one();
  return frame;
}

void Traffic::sent() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  sending_ = false;
  left_.notify_all();
}

void Traffic::stop() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  stopped_ = true;
  work_.notify_all();
  left_.notify_all();
}

void Traffic::drain(std::int64_t until_ns) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  while ((!queue_.empty() || sending_) && !interrupted_ && !stopped_ && broken_ == nullptr) {
    if (!left_.wait(lock_, until_ns)) return;
  }
}

// --- Anybody's -----------------------------------------------------------------------------------

Flight* Traffic::flight(std::uint64_t number) noexcept {
  for (Flight& one : flights_) {
    if (one.used && one.number == number) return &one;
  }
  return nullptr;
}

Flight Traffic::find(std::uint64_t number) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  const Flight* found = flight(number);
  return found != nullptr && found->left ? *found : Flight();
}

void Traffic::leaves(std::uint64_t number, std::shared_ptr<Memory> memory, int area) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  if (Flight* found = flight(number)) {
    found->memory = std::move(memory);
    found->area = area;
    found->left = true;
  }
}

void Traffic::keep_buffer(std::uint64_t number) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  if (Flight* found = flight(number)) found->frame = {};
}

bool Traffic::finish(std::uint64_t number, Outcome outcome) {
  outcome.frame = number;
  Outcome given_up;
  {
    const std::lock_guard<Lock> guard(lock_);
    Flight* found = flight(number);
    if (found != nullptr) {
      release(found->frame);
      *found = {};
      --in_use_;
      freed_.notify_one();
      if (!(queue_.empty() && line_.empty())) work_.notify_one();
    } else if (outcome.code() != Code::kFrameDropped) {
      return false;
    }
    if (telling_ == number) telling_.reset();
    if (!on_outcome_) given_up = put_outcome(outcome);
  }
  deliver(outcome);
  return true;
}

Outcome Traffic::put_outcome(Outcome outcome) noexcept {
  Outcome given_up;
  if (outcomes_.full()) {
    given_up = outcomes_.pop();
    ++unread_;
  }
  outcomes_.push(std::move(outcome));
  arrived_.notify_all();
  return given_up;
}

void Traffic::deliver(const Outcome& outcome) noexcept {
  if (!on_outcome_) return;
  const std::lock_guard<std::mutex> one_at_a_time(callback_);
  try {
    on_outcome_(outcome);
  } catch (...) {  // by the caller's code: the other frames still come
  }
}

void Traffic::free_buffers(const std::vector<FrameRef>& frames) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  for (FrameRef frame : frames) release(frame);
}

void Traffic::end(const Error& error) {
  const auto why = std::make_shared<const Error>(error);
  const std::size_t most = 2 * static_cast<std::size_t>(slots_) + 1 + line_most_ + 1;
  std::vector<Outcome> ended, given_up;
  ended.reserve(most);
  given_up.reserve(most);
  {
    const std::lock_guard<Lock> guard(lock_);
    if (broken_ == nullptr) broken_ = why;
    alive_every_ns_ = 0;
    const auto settle = [&](std::uint64_t number, FrameRef& frame) {
      release(frame);
      ended.push_back({number, nullptr, broken_});
    };
    for (Flight& one : flights_) {
      if (one.used) settle(one.number, one.frame);
      one = {};
    }
    for (FixedQueue<FrameRef>* queue : {&queue_, &line_}) {
      while (!queue->empty()) {
        FrameRef frame = queue->pop();
        settle(frame.step().number, frame);
      }
    }
    std::sort(ended.begin(), ended.end(),
              [](const Outcome& one, const Outcome& other) { return one.frame < other.frame; });
    if (!on_outcome_) {
      for (const Outcome& one : ended) given_up.push_back(put_outcome(one));
    } else {
      ended_.insert(ended_.end(), ended.begin(), ended.end());
    }
    hang_up_ns_ = kNever;
    freed_.notify_all();
    arrived_.notify_all();
    left_.notify_all();
    work_.notify_all();
  }
}

void Traffic::close() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  closed_ = true;
  alive_every_ns_ = 0;
  freed_.notify_all();
}

void Traffic::freeze(std::int64_t every_ns) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  if (broken_ != nullptr || closed_) return;
  if (alive_every_ns_ == 0) alive_ns_ = 0;
  alive_every_ns_ = every_ns;
  work_.notify_one();
}

void Traffic::interrupt() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  interrupted_ = true;
  hang_up_ns_ = after(kHangUpS);
  work_.notify_one();
}

void Traffic::resume(std::shared_ptr<Frames> frames) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  if (frames != nullptr) frames_ = std::move(frames);
  interrupted_ = false;
  hang_up_ns_ = kNever;
  const std::int64_t now = now_ns();
  for (Flight& one : flights_) one.waits_ns = std::max(one.waits_ns, now);
  freed_.notify_all();
  work_.notify_all();
}

Outcome Traffic::wait(std::uint64_t number) {
  const std::lock_guard<Lock> guard(lock_);
  while (true) {
    for (std::size_t k = 0; k < outcomes_.size(); ++k) {
      if (outcomes_.at(k).frame == number) return outcomes_.remove(k);
    }
    if (!is_pending(number)) {
      throw Error(Code::kCineflowClientError, "a frame whose outcome was not taken yet",
                  "frame " + std::to_string(number),
                  "Outcomes that nobody takes are given up beyond " +
                      std::to_string(kMostOutcomes) + "; on_outcome gets all of them.");
    }
    arrived_.wait(lock_, kNever);
  }
}

bool Traffic::is_pending(std::uint64_t number) noexcept {
  if (on_outcome_) return false;
  if (flight(number) != nullptr) return true;
  for (FixedQueue<FrameRef>* queue : {&queue_, &line_}) {
    for (std::size_t k = 0; k < queue->size(); ++k) {
      if (queue->at(k).step().number == number) return true;
    }
  }
  if (telling_ == number) return true;
  for (std::size_t k = 0; k < drops_.size(); ++k) {
    if (drops_.at(k).number == number) return true;
  }
  return false;
}

std::shared_ptr<const Error> Traffic::ended() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  return broken_ != nullptr ? broken_ : closed_ ? closed_error_ : nullptr;
}

bool Traffic::broken() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  return broken_ != nullptr;
}

int Traffic::buffers_left() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  return static_cast<int>(frames_->free.size());
}

}  // namespace cineflow_client
