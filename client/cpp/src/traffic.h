// The traffic of a stream: which frames wait, which are in flight, and what became of the others.
//
// One lock guards all of it. Nobody holds it for more than a few steps per frame in flight: no
// allocation by a sender, no call to the network, no callback.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "fixed_queue.h"
#include "step.h"

namespace cineflow_client {

/// Outcomes that nobody takes are given up beyond this many.
inline constexpr std::size_t kMostOutcomes = 64;

/// A frame that the server has, or that is about to leave.
struct Flight {
  std::uint64_t number = 0;
  bool used = false;
  bool left = false;               // the server may respond
  FrameRef frame;                  // none while the history keeps it
  std::shared_ptr<Memory> memory;  // with `area`
  int area = -1;
  std::optional<double> time_ms;  // as the caller gave it
  std::int64_t sent_ns = 0;       // when the caller sent it
  std::int64_t waits_ns = 0;      // since when its result is waited for
};

class Traffic {
 public:
  Traffic(const StreamOptions& options, bool from_state);

  // -- a sender's side: no allocation, no waiting but for what is stated --------------------------

  /// A free buffer; empty with `*code` set if all are used until `until_ns`.
  FrameRef acquire(std::int64_t until_ns, Code* code) noexcept;
  void give_back(const FrameRef& frame) noexcept;
  /// The caller sends it by `next_frame`, or lets the feeding thread do it by `tell`.
  Submitted submit(const FrameRef& frame) noexcept;
  void tell() noexcept { work_.notify_one(); }
  bool take(Outcome* outcome, std::int64_t until_ns) noexcept;

  // -- the feeding thread's side -----------------------------------------------------------------

  enum class Work { kSend, kFlush, kDropped, kEnded, kLate, kAlive, kHangUp, kStop };
  struct Item {
    Work work = Work::kStop;
    FrameRef frame;              // kSend
    std::uint64_t number = 0;    // kDropped
    std::int64_t index = 0;      // kDropped
    std::vector<Outcome> ended;  // kEnded
  };
  /// Wait for something to do. `done` has been called for the last frame before.
  Item next_work(std::int64_t timeout_ns) noexcept;
  /// The frame that leaves next, for a thread that helps the feeding one. Empty if no frame can
  /// leave, or if another thread sends one just now; that one sees to the rest.
  FrameRef next_frame(std::int64_t timeout_ns) noexcept;
  /// The frame that either of them gave is on its way, or kept for the next session.
  void sent() noexcept;
  /// Half of its message is on its way: `kFlush` comes until `sent`.
  void flush_later() noexcept;
  /// Tell the callback.
  void deliver(const Outcome& outcome) noexcept;
  /// `kStop` comes when everything was told.
  void stop() noexcept;
  /// Wait until all frames that were submitted have left, at most until `until_ns`.
  void drain(std::int64_t until_ns) noexcept;

  // -- anybody's ---------------------------------------------------------------------------------

  /// The flight of a frame that the server has; `used` is false if it is missing.
  Flight find(std::uint64_t number) noexcept;
  /// A frame is about to be sent, and its results go to `area` of `memory` (-1: the message).
  void leaves(std::uint64_t number, std::shared_ptr<Memory> memory, int area) noexcept;
  /// Another buffer for a frame that lies in the memory of an earlier session; empty: all are used.
  FrameRef another_buffer(const FrameRef& frame) noexcept;
  /// Nobody here frees the buffer of this frame.
  void keep_buffer(std::uint64_t number) noexcept;
  /// What became of a frame. False: nobody waits for it any more.
  bool finish(std::uint64_t number, Outcome outcome);
  void free_buffers(const std::vector<FrameRef>& frames) noexcept;
  /// Every frame ends with `error`, or with what ended the stream before. The feeding thread tells
  /// the callback.
  void end(const Error& error);
  void close() noexcept;
  /// Let `kAlive` be done now and every `every_ns`, until the next `submit`; 0: no more.
  void freeze(std::int64_t every_ns) noexcept;
  /// Whether frames wait here until those that are under way have a response.
  void hold(bool held) noexcept;
  /// Frames wait here until `resume`. `kHangUp` comes if that takes long.
  void interrupt() noexcept;
  /// `frames`: new buffers; null: as before.
  void resume(std::shared_ptr<Frames> frames) noexcept;
  void use(std::shared_ptr<Frames> frames) noexcept { frames_ = std::move(frames); }

  Outcome wait(std::uint64_t number);  // throws kCineflowClientError: it is not known
  /// Whether a frame has no outcome yet.
  bool waits_for(std::uint64_t number) noexcept;
  /// Why the stream has ended or is closed; null while it lives.
  std::shared_ptr<const Error> ended() noexcept;
  bool broken() noexcept;
  int buffers_left() noexcept;
  std::uint64_t dropped() const noexcept { return dropped_count_; }
  std::uint64_t unread() const noexcept { return unread_; }

 private:
  struct Drop {
    std::uint64_t number = 0;
    std::int64_t index = 0;
  };
  FrameRef to_send() noexcept;  // with the lock held
  void drop_oldest() noexcept;
  void drop_late() noexcept;
  bool is_pending(std::uint64_t number) noexcept;
  /// Returns an outcome that nobody took, which goes after the lock.
  Outcome put_outcome(Outcome outcome) noexcept;
  void release(FrameRef& frame) noexcept;
  Flight* flight(std::uint64_t number) noexcept;

  const Policy policy_;
  const bool from_state_;
  const int slots_;
  const std::size_t line_most_;
  const std::int64_t oldest_ns_;
  const std::function<void(const Outcome&)> on_outcome_;

  Lock lock_;
  Signal work_, freed_, arrived_, left_;
  std::shared_ptr<Frames> frames_;
  FixedQueue<FrameRef> queue_;            // frames that leave next
  FixedQueue<FrameRef> line_;             // frames that wait for a slot, and may be dropped
  FixedQueue<Drop> drops_;                // dropped frames of which nobody was told yet
  std::optional<std::uint64_t> telling_;  // the dropped frame of which somebody is told just now
  std::vector<Outcome> ended_;            // for the callback
  FixedQueue<Outcome> outcomes_;
  std::vector<Flight> flights_;
  int in_use_ = 0;  // slots: flights, and with kEvery also what was acquired or waits to leave
  std::uint64_t next_number_ = 0;
  std::int64_t alive_every_ns_ = 0, alive_ns_ = 0;  // while it is frozen
  std::int64_t hang_up_ns_ = kNever;                // while it is interrupted
  std::int64_t wakes_ns_ = 0;                       // when the feeding thread looks again
  bool interrupted_ = false, stopped_ = false, sending_ = false, closed_ = false;
  bool held_ = false, flushes_ = false;
  std::shared_ptr<const Error> broken_, closed_error_;
  std::atomic<std::uint64_t> dropped_count_{0}, unread_{0};
  std::mutex callback_;  // one callback at a time
};

}  // namespace cineflow_client
