// The inside of a stream: a thread that feeds its session, and one that receives and resumes.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "history.h"
#include "padding.h"
#include "result_reader.h"
#include "session.h"
#include "traffic.h"

namespace cineflow_client {

/// Areas beyond the slots: results that the caller may keep before they are copied.
inline constexpr int kLeases = 4;

/// Why a session is of no more use. One that lost its ring says nothing about the frames that it
/// had; one that died may have died of a frame.
struct Loss {
  Error why;
  bool of_ring = false;
};

class Live : public std::enable_shared_from_this<Live> {
 public:
  /// Opens a stream to the same model with other options.
  using Opener = std::function<std::shared_ptr<Live>(const StreamOptions&)>;

  /// Throws as `Client::stream`.
  Live(std::shared_ptr<Connection> connection, std::shared_ptr<const Model> model,
       const StreamOptions& options, Opener opener);
  ~Live();

  Slot acquire(double wait_s, DataType dtype) noexcept;
  void give_back(Slot& slot) noexcept;
  /// `helps`: the caller's thread also sends the frame, and may wait for the lock of the session.
  Submitted submit(Slot& slot, const FrameInfo& info, bool helps) noexcept;
  /// The outcome of a frame that was just sent; see `Traffic::wait`. This thread reads it from the
  /// direct connection itself, if it can.
  Outcome wait_for(std::uint64_t number);
  void copy_into(const Slot& slot, const FrameView& frame) const;  // throws kFrameRejected
  /// Returns when the threads have ended, in whatever thread it is called first.
  void close() noexcept;
  std::shared_ptr<Live> another(const Sizes& size, const std::vector<double>& spacing_mm);

  void freeze() noexcept;
  void unfreeze() noexcept;

  bool is_own() const noexcept;
  Traffic& traffic() noexcept { return traffic_; }
  const Model& model() const noexcept { return *model_; }
  const StreamOptions& options() const noexcept { return options_; }
  /// Why the stream has ended, or is of no use here; null while it lives.
  std::shared_ptr<const Error> error() noexcept;
  /// Whether frames go straight to the model's process.
  bool direct();
  // In a forked child: 0, kGrpc and "".
  std::uint64_t sequence_id();
  Transport transport();
  std::string transport_reason();
  std::uint64_t resumed() const noexcept { return resumed_; }
  std::uint64_t late_frames() const noexcept { return late_frames_; }

 private:
  // The feeding thread.
  std::int64_t timeout_ns() const noexcept {
    return static_cast<std::int64_t>((timeout_s_ < 1e9 ? timeout_s_ : 1e9) * 1e9);
  }
  void feed() noexcept;
  /// Send what can leave. `leads`: the frame whose result this thread reads itself.
  void help(std::optional<std::uint64_t> leads = std::nullopt) noexcept;
  void send(const FrameRef& frame, bool leads) noexcept;
  bool leave(const FrameRef& frame, bool leads);  // false: a part of its message has not left yet
  bool keep(const FrameRef& frame);  // for the next session; returns whether the state is asked for
  void flush() noexcept;
  void keep_alive();
  bool check(const FrameRef& frame);  // throws kFrameRejected; returns whether it is black

  // Direct connections.
  bool leave_at_once() noexcept;
  bool leave_directly(Session& session, const FrameRef& frame, bool asked, bool leads) noexcept;
  FrameRef in_ring(const Session& session, const FrameRef& frame);  // throws kFrameRejected
  void go_direct(Session& session, const std::string& name);
  void deliver_directly(Session& session, std::unique_ptr<Response> response);
  void keep_state(Session& session, std::uint64_t number, const StateSaid& said);
  void direct_ended(Session& session, const std::string& reason);
  void end_direct(Session& session) noexcept;

  // The receiving thread.
  void receive() noexcept;
  void deliver_by_call(Session& session, std::unique_ptr<Response> response);
  void deliver(Session& session, std::unique_ptr<Response> response);
  void time(Session& session, const Flight& flight, std::int64_t received_ns, Result& result);
  void refuse(std::uint64_t number, const Error& error);
  bool without_ring(Session& session, std::uint64_t number, const std::string& said);
  void lose(Session& session, const Loss& loss);
  std::shared_ptr<Session> go_on(std::shared_ptr<Session> session, const std::string& reason);
  std::shared_ptr<Session> next_session();  // throws
  std::shared_ptr<Session> begin();         // throws

  bool may_resume(Code code) const noexcept;
  void interrupt(const Loss& loss);
  std::optional<Loss> interrupted();
  std::shared_ptr<Session> session();
  void fail(const Error& error);
  std::map<std::string, Given> beginning() const;
  std::vector<std::string> outputs(bool asked) const;
  int take_area(Session& session, std::uint64_t number);
  void sequence_ended();

  const std::shared_ptr<Connection> connection_;
  const std::shared_ptr<const Model> model_;
  const StreamOptions options_;
  const Opener opener_;
  const pid_t process_;
  const double timeout_s_;
  const Declared declared_;
  const std::shared_ptr<const Error> other_process_;
  Padding padding_;
  std::size_t frame_bytes_ = 0;
  int buffers_ = 0;
  std::vector<std::string> wanted_;
  bool shows_state_ = false;
  Traffic traffic_;
  std::unique_ptr<ResultReader> reader_;

  std::mutex session_lock_;  // of what follows; a sender never takes it
  std::shared_ptr<Session> session_;
  std::optional<Loss> interrupted_;
  std::map<std::string, Given> at_start_;
  bool wants_given_ = true;  // what is given at START has not come yet
  History history_;
  std::optional<std::uint64_t> has_state_room_;  // this frame's state goes to the ring's room
  std::string last_state_;  // of who reads directly: the memory of a state that was replaced

  bool dark_ = true;  // of who sends
  std::atomic<bool> alive_{false};
  std::atomic<std::uint64_t> resumed_{0}, late_frames_{0};
  int attempts_ = 0;           // the receiving thread's, since the last result
  std::int64_t until_ns_ = 0;  // when they end

  Patience patience_;
  std::mutex end_lock_;
  std::condition_variable end_;
  std::atomic<bool> closing_{false};
  bool sequence_ended_ = false, joined_ = false;
  std::thread feeder_, receiver_;
  std::thread follower_;  // the receiving thread's
};

}  // namespace cineflow_client
