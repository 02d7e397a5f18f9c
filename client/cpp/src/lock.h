// Locks that a real-time thread may take: whoever holds one inherits the priority of who waits.
#pragma once

#include <pthread.h>

#include <cerrno>
#include <cstdint>
#include <ctime>

namespace cineflow_client {

/// Nanoseconds of the monotonic clock.
inline std::int64_t now_ns() noexcept {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
}

inline constexpr std::int64_t kNever = INT64_MAX;

/// `seconds` from now, at most a century.
inline std::int64_t after(double seconds) noexcept {
  if (!(seconds > 0)) return now_ns();
  return now_ns() + static_cast<std::int64_t>((seconds < 3e9 ? seconds : 3e9) * 1e9);
}

class Lock {
 public:
  Lock() noexcept {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&mutex_, &attributes);
    pthread_mutexattr_destroy(&attributes);
  }
  ~Lock() { pthread_mutex_destroy(&mutex_); }
  Lock(const Lock&) = delete;
  void lock() noexcept { pthread_mutex_lock(&mutex_); }
  void unlock() noexcept { pthread_mutex_unlock(&mutex_); }
  pthread_mutex_t* handle() noexcept { return &mutex_; }

 private:
  pthread_mutex_t mutex_;
};

class Signal {
 public:
  Signal() noexcept {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&condition_, &attributes);
    pthread_condattr_destroy(&attributes);
  }
  ~Signal() { pthread_cond_destroy(&condition_); }
  Signal(const Signal&) = delete;
  void notify_all() noexcept { pthread_cond_broadcast(&condition_); }
  void notify_one() noexcept { pthread_cond_signal(&condition_); }

  /// Wait with `lock` held, at most until `until_ns` of the monotonic clock; false: it has passed.
  bool wait(Lock& lock, std::int64_t until_ns) noexcept {
    if (until_ns == kNever) {
      pthread_cond_wait(&condition_, lock.handle());
      return true;
    }
    timespec until{static_cast<time_t>(until_ns / 1000000000),
                   static_cast<long>(until_ns % 1000000000)};
    return pthread_cond_timedwait(&condition_, lock.handle(), &until) != ETIMEDOUT;
  }

 private:
  pthread_cond_t condition_;
};

}  // namespace cineflow_client
