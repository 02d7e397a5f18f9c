// cineflow's thread pool.
//
// Problem: a small kernel runs for 20 us, and waking a sleeping thread takes more than half of
// that.
//
// Solution: after a job, workers spin for a moment before they sleep. A kernel of 20 us is then
// worth splitting. Where other programs have the processors, the caller works alone
// (contention.h).
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "cineflow/executor.h"
#include "cpu/contention.h"

namespace cineflow {
namespace {

constexpr int kSpins = 4000;  // about 50 us of pauses
constexpr int kMaxThreads = 256;
constexpr int kCountBits = 16;  // for the number of bands of one job
constexpr std::uint64_t kCountMask = (std::uint64_t{1} << kCountBits) - 1;

void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

std::int64_t now_ns(clockid_t clock = CLOCK_MONOTONIC) noexcept {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

void run_all(std::int64_t bands, Executor::Body body, void* context) noexcept {
  for (std::int64_t band = 0; band < bands; ++band) body(context, band);
}

class Pool final : public Executor {
 public:
  explicit Pool(int threads) : owner_(getpid()) {
    for (int index = 1; index < threads; ++index) workers_.emplace_back([this] { work(); });
    width_ = threads;
  }

  ~Pool() override {
    {
      const std::lock_guard<std::mutex> lock(sleep_);
      stopping_.store(true);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  int width() const noexcept override { return width_; }
  int width_now() const noexcept override { return contention_.is_alone() ? 1 : width_; }
  bool is_forked() const noexcept { return getpid() != owner_; }

  void run(std::int64_t bands, Body body, void* context) const noexcept override {
    // A second caller may not use the workers, and a forked child has none.
    const std::unique_lock<std::mutex> job(busy_, std::try_to_lock);
    if (!job.owns_lock()) return run_all(bands, body, context);
    const std::int64_t start = now_ns();
    if (contention_.is_alone()) {
      run_all(bands, body, context);
      return contention_.did_alone(now_ns() - start);
    }
    if (bands <= 1 || workers_.empty() || is_forked()) return run_all(bands, body, context);
    body_ = body;
    context_ = context;
    done_.store(0, std::memory_order_relaxed);
    work_.store(0, std::memory_order_relaxed);
    {
      const std::lock_guard<std::mutex> lock(sleep_);
      const std::uint64_t next = generation_.load(std::memory_order_relaxed) + 1;
      unclaimed_.store(next << kCountBits | static_cast<std::uint64_t>(bands),
                       std::memory_order_release);
      generation_.store(next, std::memory_order_release);
    }
    if (sleeping_.load() > 0) wake_.notify_all();
    // The caller takes the bands that no worker has claimed: all of them on a busy machine.
    take_bands(generation_.load(std::memory_order_relaxed));
    while (done_.load(std::memory_order_acquire) < bands) pause();
    contention_.shared(now_ns() - start, work_.load(std::memory_order_relaxed));
  }

 private:
  void work() {
    std::uint64_t seen = 0;
    while (wait(seen)) {
      seen = generation_.load(std::memory_order_acquire);
      take_bands(seen);
    }
  }

  /// Runs bands of job `generation` until all are claimed. Between a claim and the increment of
  /// done_ the job cannot end, so its body and context cannot change; a late worker claims nothing.
  void take_bands(std::uint64_t generation) const noexcept {
    std::uint64_t state = unclaimed_.load(std::memory_order_acquire);
    while (state >> kCountBits == generation && (state & kCountMask) != 0) {
      if (!unclaimed_.compare_exchange_weak(state, state - 1, std::memory_order_acq_rel)) continue;
      const std::int64_t start = now_ns(CLOCK_THREAD_CPUTIME_ID);
      body_(context_, static_cast<std::int64_t>((state & kCountMask) - 1));
      work_.fetch_add(now_ns(CLOCK_THREAD_CPUTIME_ID) - start, std::memory_order_relaxed);
      done_.fetch_add(1, std::memory_order_acq_rel);
      state = unclaimed_.load(std::memory_order_acquire);
    }
  }

  /// Waits for a job newer than `seen`; returns false when the pool stops.
  bool wait(std::uint64_t seen) {
    for (int spin = 0; spin < kSpins; ++spin) {
      if (generation_.load(std::memory_order_acquire) != seen) return true;
      if (stopping_.load(std::memory_order_relaxed)) return false;
      pause();
    }
    std::unique_lock<std::mutex> lock(sleep_);
    sleeping_.fetch_add(1);
    wake_.wait(lock, [&] { return generation_.load() != seen || stopping_.load(); });
    sleeping_.fetch_sub(1);
    return generation_.load() != seen;
  }

  const pid_t owner_;
  int width_ = 1;
  mutable std::mutex busy_;
  mutable std::mutex sleep_;
  mutable std::condition_variable wake_;
  mutable std::atomic<std::uint64_t> generation_{0};
  /// The job's generation, and in the low bits the number of its unclaimed bands.
  mutable std::atomic<std::uint64_t> unclaimed_{0};
  mutable std::atomic<std::int64_t> done_{0};
  mutable std::atomic<std::int64_t> work_{0};  // processor time of its bands, in ns
  std::atomic<int> sleeping_{0};
  std::atomic<bool> stopping_{false};
  mutable Contention contention_;  // of who holds busy_
  mutable Body body_ = nullptr;
  mutable void* context_ = nullptr;
  std::vector<std::thread> workers_;
};

class Serial final : public Executor {
 public:
  int width() const noexcept override { return 1; }
  void run(std::int64_t bands, Body body, void* context) const noexcept override {
    run_all(bands, body, context);
  }
};

int allowed(int threads) { return threads < 1 ? 1 : threads > kMaxThreads ? kMaxThreads : threads; }

int default_threads() {
  for (const char* name : {"CINEFLOW_NUM_THREADS", "OMP_NUM_THREADS"}) {
    const char* text = std::getenv(name);
    if (text != nullptr && std::atoi(text) > 0) return allowed(std::atoi(text));
  }
  cpu_set_t processors;
  if (sched_getaffinity(0, sizeof(processors), &processors) == 0) {
    return allowed(CPU_COUNT(&processors));
  }
  return allowed(static_cast<int>(std::thread::hardware_concurrency()));
}

std::shared_ptr<const Executor> make_pool(int threads) {
  // A forked child must not destroy its copy: it would wait for workers that were not copied.
  return {new Pool(threads), [](const Pool* pool) {
            if (!pool->is_forked()) delete pool;
          }};
}

/// The pool of this process. It may be replaced, but it is not destroyed at exit: its workers may
/// already be gone by then.
std::shared_ptr<const Executor>& current() {
  static auto* const pool = new std::shared_ptr<const Executor>(make_pool(default_threads()));
  return *pool;
}

}  // namespace

const Executor& serial_executor() noexcept {
  static const Serial executor;
  return executor;
}

std::shared_ptr<const Executor> thread_pool() { return std::atomic_load(&current()); }

int thread_count() { return thread_pool()->width(); }

void set_thread_count(int threads) {
  // Callers that still run in the old pool hold it; the last of them destroys it.
  if (allowed(threads) != thread_count()) {
    std::atomic_store(&current(), make_pool(allowed(threads)));
  }
}

}  // namespace cineflow
