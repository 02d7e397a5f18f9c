// A process that forks, and one without random numbers.
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>

#include "ends.h"

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

}  // namespace

namespace ends {

int forks(const std::string& url, int count) {
  Client client(url);
  Stream stream = client.stream("m", plain(Transport::kAuto));
  auto held = stream.wait(stream.submit(kFrame, {}, 10)).result;
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

}  // namespace ends
