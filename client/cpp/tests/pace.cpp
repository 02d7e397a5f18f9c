// The C++ side of benchmarks/client: round trips of one stream, in rounds.
//
//   pace HOST:PORT MODEL HEIGHT WIDTH shm|grpc
//
// Each line of the standard input is a number of frames. It prints, in one line, the seconds of CPU
// of this process, its resident memory in kB, how often its threads have waited, and each round
// trip in microseconds.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>

#include "cineflow_client.hpp"

using namespace cineflow_client;

namespace {

double cpu_seconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Switches of context, because a thread waited.
long waits() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nvcsw;
}

long resident_kb() {
  std::ifstream file("/proc/self/statm");
  long pages = 0, resident = 0;
  file >> pages >> resident;
  return resident * 4;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 6) return 2;
  try {
    Client client(arguments[1]);
    StreamOptions options;
    options.size = {std::atoi(arguments[3]), std::atoi(arguments[4])};
    options.transport =
        std::strcmp(arguments[5], "shm") == 0 ? Transport::kSharedMemory : Transport::kGrpc;
    const auto pixels = static_cast<std::size_t>(options.size[0] * options.size[1]);
    std::vector<std::vector<unsigned char>> clip(8, std::vector<unsigned char>(pixels));
    for (std::size_t t = 0; t < clip.size(); ++t) {
      for (std::size_t k = 0; k < pixels; ++k) {
        clip[t][k] = static_cast<unsigned char>((k * 2654435761u >> 13) + 31 * t);
      }
    }
    Stream stream = client.stream(arguments[2], options);
    std::size_t sent = 0;
    for (int frames = 0; std::cin >> frames;) {
      std::vector<double> each;
      each.reserve(static_cast<std::size_t>(frames));
      const double before = cpu_seconds();
      const long waits_before = waits();
      for (int k = 0; k < frames; ++k) {
        const FrameView frame{clip[sent++ % clip.size()].data(), DataType::kUint8, options.size};
        const auto start = std::chrono::steady_clock::now();
        stream.push(frame);
        const auto end = std::chrono::steady_clock::now();
        each.push_back(std::chrono::duration<double, std::micro>(end - start).count());
      }
      std::printf("%.6f %ld %ld", cpu_seconds() - before, resident_kb(), waits() - waits_before);
      for (const double one : each) std::printf(" %.1f", one);
      std::printf("\n");
      std::fflush(stdout);
    }
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s\n", name(error.code()), error.what());
    return 1;
  }
  return 0;
}
