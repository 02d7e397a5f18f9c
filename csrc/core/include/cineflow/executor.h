// What runs the bands of a CPU launcher: one thread, cineflow's pool, or a runtime's own pool.
//
// A launcher splits its rows into at most `width()` bands. What a row computes never depends on
// the split, so results are bit-identical for any number of threads.
#pragma once

#include <cstdint>
#include <memory>

namespace cineflow {

class Executor {
 public:
  using Body = void (*)(void* context, std::int64_t band);

  virtual ~Executor() = default;

  /// The most bands that `run` accepts: what a workspace is made for.
  virtual int width() const noexcept = 0;

  /// How many bands are worth making now: fewer than `width()` where other programs have the
  /// processors.
  virtual int width_now() const noexcept { return width(); }

  /// Call `body(context, band)` once for each band in [0, bands); return when all are done.
  virtual void run(std::int64_t bands, Body body, void* context) const noexcept = 0;
};

/// Runs every band in the calling thread.
const Executor& serial_executor() noexcept;

/// cineflow's own pool. It runs one job at a time; a second caller runs its bands itself. The pool
/// lives as long as a caller holds it, even if the number of threads changes in between.
std::shared_ptr<const Executor> thread_pool();

/// Threads of `thread_pool()`, including the caller's. Initially CINEFLOW_NUM_THREADS, else
/// OMP_NUM_THREADS, else the number of processors this process may run on.
int thread_count();
void set_thread_count(int threads);

}  // namespace cineflow
