#include "direct.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include "json.h"

namespace cineflow_client {
namespace {

/// How long the model's process may take to accept the connection.
constexpr double kAcceptS = 2.0;
constexpr int kLookMs = 20;

[[noreturn]] void fail(const char* what) {
  throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

/// Wait until the socket is ready for `events`, or until the time or the patience is over.
void wait_for(int socket, short events, std::int64_t until_ns,
              const std::function<bool()>& given_up) {
  while (now_ns() < until_ns && !given_up()) {
    pollfd one{socket, events, 0};
    const int ready = poll(&one, 1, kLookMs);
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) fail("poll");
  }
  throw std::runtime_error("no response in time");
}

std::string hello(std::uint64_t sequence, const Memory& ring) {
  std::string header = R"({"sequence":)" + std::to_string(sequence) + R"(,"slot_bytes":)" +
                       std::to_string(ring.area_stride()) + R"(,"parts":{)";
  const char* between = "";
  std::vector<Part> parts = ring.parts();
  if (ring.state_part().bytes > 0) parts.push_back(ring.state_part());
  for (const Part& part : parts) {
    std::string quoted = json_of({part.name});  // ["name"]
    header += between + quoted.substr(1, quoted.size() - 2) + ":[" +
              std::to_string(ring.part_offset(0, part)) + "," + std::to_string(part.bytes) + "]";
    between = ",";
  }
  return packed(header + "}}");
}

}  // namespace

Direct::Direct(const std::string& name, std::uint64_t sequence, const Memory& ring,
               FrameWriter writer, int slots, const std::function<bool()>& given_up)
    : writer_(std::move(writer)), outgoing_(writer_.most_bytes()) {
  unanswered_.reserve(static_cast<std::size_t>(slots) + 1);
  try {
    connect(name, given_up);
    shake_hands(sequence, ring, given_up);
  } catch (...) {
    if (socket_ >= 0) ::close(socket_);
    throw;
  }
}

Direct::~Direct() { ::close(socket_); }

void Direct::connect(const std::string& name, const std::function<bool()>& given_up) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.empty() || name.size() >= sizeof(address.sun_path)) {
    throw std::runtime_error("a name of " + std::to_string(name.size()) + " bytes");
  }
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket_ < 0) fail("socket");
  const std::int64_t until = after(kAcceptS);
  while (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    if (errno != EAGAIN && errno != EINTR) fail("connect");  // EAGAIN: its queue is full
    if (now_ns() >= until || given_up()) throw std::runtime_error("no place in time");
    poll(nullptr, 0, kLookMs);
  }
  ucred other{};
  socklen_t size = sizeof(other);
  if (getsockopt(socket_, SOL_SOCKET, SO_PEERCRED, &other, &size) != 0) fail("SO_PEERCRED");
  if (other.uid != geteuid()) throw std::runtime_error("another user's process");
}

void Direct::shake_hands(std::uint64_t sequence, const Memory& ring,
                         const std::function<bool()>& given_up) {
  const std::string first = hello(sequence, ring);
  iovec piece{const_cast<char*>(first.data()), first.size()};
  const int descriptor = ring.descriptor();
  if (descriptor < 0) throw std::runtime_error("a ring without a descriptor");
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(rights), &descriptor, sizeof(int));
  const auto sent = sendmsg(socket_, &message, MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(first.size())) fail("sendmsg");
  const std::int64_t until = after(kAcceptS);
  for (Incoming::Message ready; !incoming_.next(&ready);) {
    wait_for(socket_, POLLIN, until, given_up);
    const auto count = recv(socket_, incoming_.room(), incoming_.room_bytes(), 0);
    if (count == 0) throw std::runtime_error("it refuses");
    if (count < 0 && errno != EINTR && errno != EAGAIN) fail("recv");
    if (count > 0) incoming_.came(static_cast<std::size_t>(count));
  }
  if (fcntl(socket_, F_SETFL, fcntl(socket_, F_GETFL) & ~O_NONBLOCK) != 0) fail("fcntl");
}

// --- Sending -------------------------------------------------------------------------------------

std::size_t Direct::write(const char* bytes, std::size_t count) noexcept {
  while (true) {
    const auto sent = ::send(socket_, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) return 0;
    if (errno != EINTR) return count;  // it has ended: whoever reads learns it
  }
}

bool Direct::send(const DirectFrame& frame, const Told& told, bool leads) noexcept {
  {
    const std::lock_guard<Lock> guard(lock_);
    unanswered_.push_back(frame);
  }
  length_ = writer_.write(frame, told, outgoing_.data());
  left_ = length_ - write(outgoing_.data(), length_);
  if (!leads) let_follow();
  return left_ == 0;
}

bool Direct::flush(int wait_ms) noexcept {
  const std::int64_t until = after(1e-3 * wait_ms);
  while (left_ > 0 && !ended_) {
    left_ -= write(outgoing_.data() + length_ - left_, left_);
    if (left_ == 0) break;
    const std::int64_t rest_ms = (until - now_ns()) / 1000000;
    if (rest_ms <= 0) return false;
    pollfd one{socket_, POLLOUT, 0};
    poll(&one, 1, static_cast<int>(rest_ms));
  }
  return true;
}

void Direct::end() noexcept {
  quiet_ = true;
  if (left_ > 0) return;  // half a message is under way; the call ends the sequence
  static const std::string last = packed(R"({"end":true})");
  write(last.data(), last.size());
}

// --- From any thread -----------------------------------------------------------------------------

bool Direct::awaits(std::uint64_t number) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  return std::any_of(unanswered_.begin(), unanswered_.end(),
                     [number](const DirectFrame& one) { return one.number == number; });
}

void Direct::drain(std::int64_t until_ns) noexcept {
  let_follow();
  const std::lock_guard<Lock> guard(lock_);
  while (!unanswered_.empty() && !ended_ && answered_.wait(lock_, until_ns)) continue;
}

std::vector<DirectFrame> Direct::retire() noexcept {
  std::vector<DirectFrame> left;
  const std::lock_guard<Lock> guard(lock_);
  ended_ = true;
  left.swap(unanswered_);
  answered_.notify_all();
  turn_.notify_all();
  return left;
}

void Direct::close() noexcept {
  quiet_ = true;
  shutdown(socket_, SHUT_RDWR);
  const std::lock_guard<Lock> guard(lock_);
  ended_ = true;
  answered_.notify_all();
  turn_.notify_all();
}

void Direct::release() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  while (reads_) idle_.wait(lock_, kNever);
}

// --- Receiving -----------------------------------------------------------------------------------

void Direct::let_follow() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  if (follows_) return;
  follows_ = true;
  turn_.notify_all();
}

void Direct::lead(const std::function<bool()>& done) noexcept {
  {
    const std::lock_guard<Lock> guard(lock_);
    if (ended_) return;
    if (reads_ || follows_) {
      wants_lead_ = true;
      return;
    }
    reads_ = true;
  }
  while (!done() && read_one()) continue;
  const std::lock_guard<Lock> guard(lock_);
  reads_ = false;
  follows_ = follows_ || !unanswered_.empty();
  if (follows_) turn_.notify_all();  // else that thread would wake with each frame, for nothing
  idle_.notify_all();
}

void Direct::follow() noexcept {
  while (true) {
    {
      const std::lock_guard<Lock> guard(lock_);
      while (!ended_ && (!follows_ || reads_)) turn_.wait(lock_, kNever);
      if (ended_) return;
      reads_ = true;
    }
    read_one();
    const std::lock_guard<Lock> guard(lock_);
    reads_ = false;
    if (wants_lead_ && unanswered_.empty()) follows_ = wants_lead_ = false;
    idle_.notify_all();
  }
}

bool Direct::read_one() noexcept {
  std::string reason;
  try {
    Incoming::Message message;
    while (!incoming_.next(&message)) {
      // Not `recv` alone, which also wakes when the other side has read what was sent.
      pollfd one{socket_, POLLIN, 0};
      if (poll(&one, 1, -1) < 0 && errno != EINTR) fail("poll");
      const auto count = recv(socket_, incoming_.room(), incoming_.room_bytes(), 0);
      if (count == 0) throw std::runtime_error("its direct connection has ended");
      if (count > 0) {
        incoming_.came(static_cast<std::size_t>(count));
      } else if (errno != EINTR) {
        fail("its direct connection");
      }
    }
    Said said = said_by(message);
    if (!said.bye) {
      take(std::move(said));
      return true;
    }
  } catch (const std::exception& error) {  // also after a bug nobody must wait for ever
    reason = error.what();
  }
  try {
    if (!quiet_) on_end_(reason);
  } catch (const std::exception& error) {
    on_end_(error.what());
  }
  close();
  return false;
}

void Direct::take(Said said) {
  const std::string id = said.id();
  std::uint64_t number = 0;
  const auto read = std::from_chars(id.data(), id.data() + id.size(), number);
  if (read.ec != std::errc() || read.ptr != id.data() + id.size()) return;
  if (said.response == nullptr) {
    on_state_(number, said.state);
    return;
  }
  {
    const std::lock_guard<Lock> guard(lock_);  // a sender may wait for it
    const auto found =
        std::find_if(unanswered_.begin(), unanswered_.end(),
                     [number](const DirectFrame& one) { return one.number == number; });
    if (found == unanswered_.end()) return;
    unanswered_.erase(found);
    if (unanswered_.empty()) answered_.notify_all();
  }
  on_response_(std::move(said.response));
}

}  // namespace cineflow_client
