// The traffic of a stream: a sender's side.
#include "traffic.h"

#include <algorithm>

#include "errors.h"

namespace cineflow_client {
namespace {

constexpr std::size_t kMostDrops = 256;

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

Submitted Traffic::submit(const FrameRef& frame) noexcept {
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
  if (submitted.code != Code::kOk) give_back(frame);
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

}  // namespace cineflow_client
