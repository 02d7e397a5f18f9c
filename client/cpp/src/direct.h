// A direct connection: frames go straight to the process of the model, on the same machine.
//
// It stands next to the call of a stream, which begins and ends the sequence. The frames lie in the
// ring; what is said about them goes through a Unix socket. A thread that waits for its own result
// reads the socket itself (`lead`), so that no thread is woken in between. For other frames one
// thread reads (`follow`).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "direct_message.h"
#include "lock.h"

namespace cineflow_client {

class Direct {
 public:
  /// Gets each response, from whoever reads.
  using OnResponse = std::function<void(std::unique_ptr<Response>)>;
  /// Gets the state after a frame, which comes after its response.
  using OnState = std::function<void(std::uint64_t number, const StateSaid& state)>;
  /// No more responses come. Without a reason the model is being unloaded: frames without a
  /// response were not computed. It is not called after `close` and `end`.
  using OnEnd = std::function<void(const std::string& reason)>;

  /// Connects to `name`, and hands the ring over. `given_up` is asked while it waits. Throws
  /// std::runtime_error: there is no such connection here, or it is another user's.
  Direct(const std::string& name, std::uint64_t sequence, const Memory& ring, FrameWriter writer,
         int slots, const std::function<bool()>& given_up);
  ~Direct();
  Direct(const Direct&) = delete;

  // -- sending: one thread at a time

  /// Send a frame. It never waits and allocates nothing. False: the socket is full, and `flush`
  /// must send the rest before anything else is sent. `leads`: the caller reads the response
  /// itself.
  bool send(const DirectFrame& frame, const Told& told, bool leads) noexcept;
  /// Send what is left, for at most `wait_ms`; returns whether nothing is left any more.
  bool flush(int wait_ms) noexcept;
  /// End the stream at the model, after the frames before.
  void end() noexcept;

  // -- from any thread

  /// Whether frames can no longer be sent.
  bool ended() const noexcept { return ended_; }
  bool awaits(std::uint64_t number) noexcept;
  /// Wait until every frame has its response, at most until `until_ns`.
  void drain(std::int64_t until_ns) noexcept;
  /// Take the frames without a response out; none can be sent any more.
  std::vector<DirectFrame> retire() noexcept;
  /// End the connection at once; whoever reads learns it.
  void close() noexcept;
  /// After `close`: wait until nobody reads any more.
  void release() noexcept;

  // -- receiving

  void on(OnResponse response, OnState state, OnEnd end) {
    on_response_ = std::move(response);
    on_state_ = std::move(state);
    on_end_ = std::move(end);
  }
  /// Read responses in this thread until `done`. Returns at once where another thread reads.
  void lead(const std::function<bool()>& done) noexcept;
  /// Read responses that nobody waits for, until the end. In a thread of its own.
  void follow() noexcept;

 private:
  void connect(const std::string& name, const std::function<bool()>& given_up);
  void shake_hands(std::uint64_t sequence, const Memory& ring,
                   const std::function<bool()>& given_up);
  std::size_t write(const char* bytes, std::size_t count) noexcept;
  void let_follow() noexcept;
  bool read_one() noexcept;  // false: it has ended
  void take(Said said);

  int socket_ = -1;
  const FrameWriter writer_;
  std::vector<char> outgoing_;        // one message
  std::size_t length_ = 0;            // of it
  std::atomic<std::size_t> left_{0};  // of that: what was not sent yet
  Incoming incoming_;
  OnResponse on_response_;
  OnState on_state_;
  OnEnd on_end_;
  std::atomic<bool> ended_{false}, quiet_{false};  // quiet: its end is on purpose

  Lock lock_;                      // of what follows
  Signal turn_, answered_, idle_;  // of the thread that follows, of `drain`, of `release`
  std::vector<DirectFrame> unanswered_;
  bool reads_ = false;       // somebody reads
  bool follows_ = false;     // the thread for it may read
  bool wants_lead_ = false;  // somebody would have read, but the thread did
};

}  // namespace cineflow_client
