// A scanner that beamforms nothing: it sends a beating phantom at a frame rate, and prints how long
// the results took and how many deadlines were missed. A frame misses its deadline if its result
// comes later than the next frame, or not at all.
//
//   scanner_sim HOST:PORT MODEL [SECONDS] [HEIGHT WIDTH]
//
// Three rates, one after the other: 30, 60 and 120 frames per second. `make scanner-sim` starts a
// server and runs it.
#include <time.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "cineflow_client.hpp"

using namespace cineflow_client;

namespace {

constexpr double kBeatS = 0.8;

/// Speckle that stays with the tissue, drawn once: the phantom's reference.
std::vector<unsigned char> draw_speckle(int side) {
  std::vector<unsigned char> speckle(static_cast<std::size_t>(side) *
                                     static_cast<std::size_t>(side));
  std::uint32_t state = 1;
  for (unsigned char& one : speckle) {
    state = state * 1664525u + 1013904223u;
    one = static_cast<unsigned char>(40 + (state >> 24) / 2);
  }
  return speckle;
}

/// What a beamformer would write: a ring of tissue that contracts, straight into the slot.
void beamform(const Slot& slot, int height, int width, const std::vector<unsigned char>& speckle,
              int side, double time_s) {
  const double pi = 3.14159265358979;
  const double squeeze = 1 - 0.12 * (1 - std::cos(2 * pi * time_s / kBeatS)) / 2;
  const float inner = 0.22f * static_cast<float>(height),
              outer = 0.36f * static_cast<float>(height);
  const float scale = static_cast<float>(1 / squeeze);
  for (int y = 0; y < height; ++y) {
    auto* row =
        static_cast<unsigned char*>(slot.data()) + static_cast<std::size_t>(y) * slot.row_stride();
    const float dy = (static_cast<float>(y) - 0.5f * static_cast<float>(height)) * scale;
    for (int x = 0; x < width; ++x) {
      const float dx = (static_cast<float>(x) - 0.5f * static_cast<float>(width)) * scale;
      const float square = dx * dx + dy * dy;
      const bool tissue = square > inner * inner && square < outer * outer;
      const int u = (static_cast<int>(dx * 0.5f) + side) % side;
      const int v = (static_cast<int>(dy * 0.5f) + side) % side;
      row[x] = tissue ? speckle[static_cast<std::size_t>(v * side + u)] : 8;
    }
  }
}

void sleep_until(double due_s) {
  timespec due;
  due.tv_sec = static_cast<time_t>(due_s);
  due.tv_nsec = static_cast<long>((due_s - static_cast<double>(due.tv_sec)) * 1e9);
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr);
}

double now_s() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void scan(Client& client, const char* model, int height, int width, double rate, double seconds) {
  std::mutex lock;  // of what follows: the callback comes from another thread
  LatencyLog log(1e3 / rate);
  std::size_t dropped = 0, refused = 0;
  const auto count = [&lock](std::size_t& frames_without_result) {
    const std::lock_guard<std::mutex> guard(lock);
    ++frames_without_result;
  };
  StreamOptions options;
  options.size = {height, width};
  options.policy = Policy::kNewest;  // a display: an old frame is of no use
  options.on_outcome = [&](const Outcome& outcome) {
    if (outcome.error) return count(outcome.code() == Code::kFrameDropped ? dropped : refused);
    const std::lock_guard<std::mutex> guard(lock);
    log.add(outcome.result->latency_ms);
  };
  Stream stream = client.stream(model, options);
  constexpr int kSide = 512;
  const auto speckle = draw_speckle(kSide);
  const int frames = static_cast<int>(seconds * rate);
  const double start = now_s() + 0.05;
  for (int t = 0; t < frames; ++t) {
    const double due = start + t / rate;
    Slot slot = stream.acquire();
    if (slot) beamform(slot, height, width, speckle, kSide, t / rate);
    sleep_until(due);
    if (!slot || slot.submit().code != Code::kOk) count(refused);
    if (const auto error = stream.error()) throw *error;
  }
  const bool ring = stream.transport() == Transport::kSharedMemory;
  sleep_until(now_s() + 0.3);
  stream.close();  // no callback comes after this
  const LatencySummary found = log.summary();
  std::printf(
      "%4.0f fps, %d x %d, %s: %zu results, p50 %.2f ms, p95 %.2f ms, p99 %.2f ms, max %.2f ms, "
      "%zu missed deadlines (%zu late, %zu dropped, %zu refused)\n",
      rate, height, width, ring ? "ring" : "gRPC", found.frames, found.p50_ms, found.p95_ms,
      found.p99_ms, found.max_ms, found.missed_deadlines + dropped + refused,
      found.missed_deadlines, dropped, refused);
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) {
    std::fprintf(stderr, "usage: %s HOST:PORT MODEL [SECONDS] [HEIGHT WIDTH]\n", arguments[0]);
    return 2;
  }
  const double seconds = count > 3 ? std::atof(arguments[3]) : 5;
  const int height = count > 5 ? std::atoi(arguments[4]) : 256;
  const int width = count > 5 ? std::atoi(arguments[5]) : 256;
  try {
    Client client(arguments[1]);
    const ModelInfo model = client.model(arguments[2]);
    if (model.untrained) {
      std::fprintf(stderr,
                   "Untrained weights: outputs are meaningless. %s has random numbers for weights "
                   "(%s).\n",
                   model.served_name.c_str(), model.weights.c_str());
    }
    for (const double rate : {30.0, 60.0, 120.0}) {
      scan(client, arguments[2], height, width, rate, seconds);
    }
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s\n", name(error.code()), error.what());
    return 1;
  }
  return 0;
}
