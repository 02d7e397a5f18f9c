// Jobs on an imagined machine, told to Contention: when does the caller work alone?
// Prints what went wrong, and returns how much.
#include <cstdint>
#include <cstdio>

#include "cpu/contention.h"

namespace {

constexpr std::int64_t kUs = 1'000, kMs = 1'000 * kUs;
int failures = 0;

void expect(bool holds, const char* what) {
  if (holds) return;
  std::printf("not so: %s\n", what);
  ++failures;
}

/// The time of one job of `work`: shared by two threads, or alone. A shared one takes `stall` more.
std::int64_t run(cineflow::Contention& contention, std::int64_t work, std::int64_t stall) {
  if (contention.is_alone()) {
    contention.did_alone(work);
    return work;
  }
  const std::int64_t took = work / 2 + stall;
  contention.shared(took, work);
  return took;
}

/// Jobs until one is shared again: the time of those before it.
std::int64_t time_alone(cineflow::Contention& contention, std::int64_t work) {
  std::int64_t time = 0;
  while (contention.is_alone()) time += run(contention, work, 0);
  return time;
}

void free_processors() {
  cineflow::Contention contention;
  bool alone = false;
  for (int job = 0; job < 10'000; ++job) {
    run(contention, 40 * kUs, 5 * kUs);
    run(contention, 10 * kMs, 50 * kUs);
    alone = alone || contention.is_alone();
  }
  expect(!alone, "jobs that gain are shared");
}

void one_stall() {
  cineflow::Contention contention;
  run(contention, 40 * kUs, 3 * kMs);
  expect(contention.is_alone(), "a stall makes the next job the caller's alone");
  const std::int64_t time = time_alone(contention, 40 * kUs);
  expect(time > 40 * kMs && time < 50 * kMs, "after a stall of 3 ms, 48 ms of jobs are alone");
}

void small_losses() {
  cineflow::Contention contention;
  int shared = 0;
  while (!contention.is_alone() && shared < 1'000) {
    run(contention, 20 * kUs, 12 * kUs);  // takes 22 instead of 20 us
    ++shared;
  }
  expect(shared < 150, "small losses add up");
}

void processor_taken() {
  cineflow::Contention contention;
  std::int64_t took = 0, work = 0;
  for (int job = 0; job < 500'000; ++job) {
    took += run(contention, 40 * kUs, 3 * kMs);
    work += 40 * kUs;
  }
  expect(took < work + work / 100, "with a processor taken for 20 s, less than 1 % is lost");
  for (std::int64_t time = 0; time < 5'000 * kMs;) time += run(contention, 40 * kUs, 0);
  expect(!contention.is_alone(), "jobs are shared again once it is free");
  run(contention, 40 * kUs, 3 * kMs);
  expect(time_alone(contention, 40 * kUs) < 50 * kMs, "and an old loss is forgotten");
}

}  // namespace

int main() {
  free_processors();
  one_stall();
  small_losses();
  processor_taken();
  return failures;
}
