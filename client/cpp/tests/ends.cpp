// How streams end, with servers that break off, hang or lie (tests/client_cpp/hostile.py). Prints
// what came of it in one line:
//
//   ends SCENARIO HOST:PORT [ARGUMENT]
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <thread>

#include "cineflow_client.hpp"

using namespace cineflow_client;

namespace {

std::atomic<bool> no_random{false};

/// The system's source of random numbers, which this program can take away.
extern "C" ssize_t getrandom(void* bytes, std::size_t count, unsigned flags) {
  if (no_random) {
    errno = ENOSYS;
    return -1;
  }
  return syscall(SYS_getrandom, bytes, count, flags);
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void sleep_ms(int time) { std::this_thread::sleep_for(std::chrono::milliseconds(time)); }

const std::vector<unsigned char> kPixels(64 * 80, 9);
const FrameView kFrame{kPixels.data(), DataType::kUint8, {64, 80}};

StreamOptions plain(Transport transport = Transport::kGrpc) {
  StreamOptions options;
  options.size = kFrame.size;
  options.transport = transport;
  return options;
}

double close_time(Stream& stream) {
  const auto start = Clock::now();
  stream.close();
  return seconds_since(start);
}

/// Several threads send, one polls and one closes, while the server breaks off.
int race(const std::string& url, double for_s) {
  const auto start = Clock::now();
  Client client(url);
  int streams = 0;
  for (; seconds_since(start) < for_s; ++streams) {
    StreamOptions options = plain(streams % 3 == 2 ? Transport::kGrpc : Transport::kSharedMemory);
    options.slots = 64;
    options.resume_s = streams % 2 == 0 ? 0 : 30;
    std::atomic<int> told{0};
    if (streams % 4 < 2) options.on_outcome = [&told](const Outcome&) { ++told; };
    Stream stream = client.stream("m", options);
    std::vector<std::thread> threads;
    for (int sender = 0; sender < 3; ++sender) {
      threads.emplace_back([&stream] {
        while (true) {
          Slot slot = stream.acquire();
          if (!slot && slot.code() != Code::kStreamBusy) return;
          if (slot) slot.submit();
        }
      });
    }
    threads.emplace_back([&stream] {
      Outcome outcome;
      while (stream.error() == nullptr) {
        stream.next(&outcome, 0.01);
        stream.transport();
        stream.transport_reason();
        stream.sequence_id();
      }
    });
    for (int closer = 0; closer < 2; ++closer) {
      threads.emplace_back([&stream] {
        const auto opened = Clock::now();
        while (stream.error() == nullptr && seconds_since(opened) < 0.2) sleep_ms(1);
        stream.close();
      });
    }
    for (std::thread& one : threads) one.join();
  }
  std::printf("streams %d\n", streams);
  return 0;
}

/// Push one frame, wait, and close.
int close_one(const std::string& url, int wait_ms, Transport transport) {
  Client client(url);
  Stream stream = client.stream("m", plain(transport));
  stream.push(kFrame);
  sleep_ms(wait_ms);
  std::printf("closed %.2f\n", close_time(stream));
  return 0;
}

/// Two threads close a stream whose server says nothing; and a client closes several streams.
int close_twice(const std::string& url) {
  Client client(url);
  Stream stream = client.stream("m", plain());
  stream.submit(kFrame);
  double first = 0, second = 0;
  std::thread other([&] { first = close_time(stream); });
  sleep_ms(100);
  second = close_time(stream);
  other.join();
  std::vector<Stream> several;
  for (int k = 0; k < 4; ++k) {
    several.push_back(client.stream("m", plain(Transport::kAuto)));
    several.back().submit(kFrame);
  }
  const auto start = Clock::now();
  client.close();
  std::printf("closed %.2f %.2f %.2f\n", first, second, seconds_since(start));
  return 0;
}

/// `next` and `wait` while another thread closes the stream.
int next_after_the_end(const std::string& url) {
  Client client(url);
  Stream stream = client.stream("m", plain());
  stream.push(kFrame);
  std::thread other([&] {
    sleep_ms(300);
    stream.close();
  });
  Outcome outcome;
  const auto start = Clock::now();
  const bool there = stream.next(&outcome, 30);
  const double took = seconds_since(start);
  other.join();
  std::printf("next %d %.2f %s\n", there, took, name(stream.error()->code()));
  return 0;
}

/// What becomes of frames that a policy drops, of a stream that is closed at once.
int drops(const std::string& url) {
  Client client(url);
  StreamOptions options = plain();
  options.policy = Policy::kNewest;
  options.timeout_s = 0.3;
  options.slots = 1;
  std::multiset<std::uint64_t> told;
  std::set<pid_t> threads;
  options.on_outcome = [&](const Outcome& outcome) {
    sleep_ms(5);
    told.insert(outcome.frame);
    threads.insert(gettid());
  };
  Stream stream = client.stream("m", options);
  std::set<std::uint64_t> sent;
  for (int k = 0; k < 40; ++k) sent.insert(stream.submit(kFrame));
  stream.close();
  const bool once = told == std::multiset<std::uint64_t>(sent.begin(), sent.end());
  options.on_outcome = nullptr;
  int waited = 0;
  for (int round = 0; round < 8; ++round) {
    Stream quiet = client.stream("m", options);
    std::uint64_t last = 0;
    for (int k = 0; k < 40; ++k) last = quiet.submit(kFrame);
    std::thread closer([&] {
      if (round % 2 == 0) quiet.close();
    });
    // Every frame but the last is dropped or answered; a spurious wake must not lose one.
    for (std::uint64_t frame = round % 2 == 0 ? 0 : 30; frame < last; ++frame) {
      waited += quiet.wait(frame).frame == frame;
    }
    closer.join();
  }
  std::printf("told %zu once %d own_thread %d waited %d\n", told.size(), once,
              static_cast<int>(threads.count(gettid())), waited);
  return 0;
}

/// `push` and `wait` in a stream with a callback.
int push_with_callback(const std::string& url) {
  Client client(url);
  StreamOptions options = plain();
  std::atomic<int> told{0};
  options.on_outcome = [&told](const Outcome&) { ++told; };
  Stream stream = client.stream("m", options);
  std::string said;
  try {
    stream.push(kFrame);
  } catch (const Error& error) {
    said = std::string(name(error.code())) + ": " + error.wanted();
  }
  sleep_ms(300);
  stream.close();
  std::printf("told %d %s\n", told.load(), said.c_str());
  return 0;
}

/// The whole of a slot is written to.
int fill(const std::string& url) {
  Client client(url);
  StreamOptions options = plain();
  options.size = {600, 800};
  Stream stream = client.stream("m", options);
  Slot slot = stream.acquire();
  for (std::size_t y = 0; y < 600; ++y) {
    std::memset(static_cast<char*>(slot.data()) + y * slot.row_stride(), 7, 800);
  }
  std::printf("filled, %zu bytes a row\n", slot.row_stride());
  return 0;
}

/// What the header promises of a reading.
bool right(const Tensor& view, DataType dtype, int rank) {
  return !view || (view.dtype == dtype && view.rank == rank);
}

/// Push frames, whatever the server says to them. Every value of a result is read.
int results(const std::string& url, int count, Transport transport) {
  Client client(url, {2.0, "", std::nullopt});
  StreamOptions options = plain(transport);
  options.size = {60, 80};  // is padded
  options.readings = {"state"};
  options.timeout_s = 0.5;
  options.resume_s = 1;
  int good = 0, bad = 0, ended = 0;
  unsigned sum = 0;
  auto stream = std::make_unique<Stream>(client.stream("m", options));
  const FrameView frame{kPixels.data(), DataType::kUint8, options.size};
  for (int k = 0; k < count; ++k) {
    if (stream->error() != nullptr) {
      ++ended;
      stream = std::make_unique<Stream>(client.stream("m", options));
    }
    try {
      const auto result = stream->push(frame);
      ++good;
      for (const auto& [key, view] : result->tensors) {
        std::vector<unsigned char> bytes(view.byte_size());
        view.copy_to(bytes.data());
        for (const unsigned char one : bytes) sum += one;
        sum += static_cast<unsigned>(result->absent(key).size());
      }
      const bool fields = right(result->flow, DataType::kFloat32, 3) &&
                          right(result->displacement, DataType::kFloat32, 3) &&
                          right(result->points, DataType::kFloat32, 2) &&
                          right(result->state, DataType::kUint8, 1);
      const Tensor& moved = result->displacement;
      const bool extents = !moved || (moved.shape[0] == 2 && moved.shape[1] == 60);
      if (!fields || !extents) {
        std::printf("a reading of another type or shape\n");
        return 1;
      }
    } catch (const Error& error) {
      ++bad;
      if (count == 1) std::printf("%s: %s\n", name(error.code()), error.got().c_str());
    }
  }
  std::printf("good %d bad %d ended %d sum %u\n", good, bad, ended, sum);
  return 0;
}

/// Children that are forked while other threads hold the locks.
int forks(const std::string& url, int count) {
  Client client(url);
  Stream stream = client.stream("m", plain(Transport::kAuto));
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int k = 0; k < 2; ++k) {
    threads.emplace_back([&] {
      Outcome outcome;
      while (!done) {
        stream.poll(&outcome);
        stream.transport();
        stream.error();
        Slot slot = stream.acquire();
        if (slot) slot.submit();
      }
    });
  }
  auto held = stream.wait(stream.submit(kFrame, {}, 10)).result;
  int wrong = 0;
  for (int k = 0; k < count; ++k) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(5);
      Outcome outcome;
      const bool refused = !stream.poll(&outcome) && !stream.next(&outcome, 5) &&
                           stream.error()->code() == Code::kOtherProcess;
      stream.transport();
      stream.transport_reason();
      stream.sequence_id();
      held.reset();
      try {
        client.call("m", {});
        _exit(2);
      } catch (const Error& error) {
        _exit(refused && error.code() == Code::kOtherProcess ? 0 : 1);
      }
    }
    int status = 0;
    waitpid(child, &status, 0);
    wrong += status != 0;
  }
  done = true;
  for (std::thread& one : threads) one.join();
  std::printf("forks %d wrong %d\n", count, wrong);
  return 0;
}

/// Frames are sent until the stream has gone on in another sequence.
int until_resumed(const std::string& url) {
  Client client(url);
  Stream stream = client.stream("m", plain());
  const auto start = Clock::now();
  while (stream.resumed() == 0 && seconds_since(start) < 20) {
    stream.push(kFrame);
    sleep_ms(50);
  }
  std::printf(stream.resumed() > 0 ? "went on\n" : "was not resumed\n");
  return 0;
}

int without_random(const std::string& url) {
  Client client(url);
  client.is_ready();
  for (const Transport transport : {Transport::kGrpc, Transport::kSharedMemory}) {
    no_random = true;
    try {
      client.stream("m", plain(transport));
      std::printf("opened ");
    } catch (const Error& error) {
      std::printf("%s %s ", name(error.code()), error.wanted().c_str());
    }
    no_random = false;
  }
  std::printf("\n");
  return 0;
}

int run(const std::string& scenario, const std::string& url, const char* argument) {
  const bool in_ring = std::strcmp(argument, "ring") == 0;
  const Transport transport = in_ring ? Transport::kSharedMemory : Transport::kGrpc;
  if (scenario == "race") return race(url, std::atof(argument));
  if (scenario == "close") return close_one(url, 500, transport);
  if (scenario == "close_twice") return close_twice(url);
  if (scenario == "next") return next_after_the_end(url);
  if (scenario == "drops") return drops(url);
  if (scenario == "push") return push_with_callback(url);
  if (scenario == "fill") return fill(url);
  if (scenario == "result") return results(url, 1, transport);
  if (scenario == "results") return results(url, 200, transport);
  if (scenario == "forks") return forks(url, std::atoi(argument));
  if (scenario == "stops") return until_resumed(url);
  if (scenario == "random") return without_random(url);
  return 2;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) return 2;
  try {
    return run(arguments[1], arguments[2], count > 3 ? arguments[3] : "");
  } catch (const Error& error) {
    std::printf("%s: %s\n", name(error.code()), error.what());
    return 3;
  }
}
