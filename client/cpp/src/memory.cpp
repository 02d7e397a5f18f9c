#include "memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "cineflow_client.hpp"
#include "random.h"

namespace cineflow_client {
namespace {

constexpr const char* kFolder = "/dev/shm";
constexpr std::size_t kAlignment = 64;
/// What a file or a mapping can have at most.
constexpr std::size_t kMostBytes = std::size_t{1} << 62;

[[noreturn]] void too_large() {
  throw Error(Code::kCineflowClientError, "frames and results that fit into memory",
              "sizes whose product has more than 62 bits",
              "The model's spec or the stream's options ask for too much.");
}

std::size_t plus(std::size_t one, std::size_t other) {
  if (__builtin_add_overflow(one, other, &one) || one > kMostBytes) too_large();
  return one;
}

std::size_t times(std::size_t one, std::size_t other) {
  if (__builtin_mul_overflow(one, other, &one) || one > kMostBytes) too_large();
  return one;
}

std::size_t aligned(std::size_t bytes) {
  return plus(bytes, kAlignment - 1) / kAlignment * kAlignment;
}

/// Start of the names that programs of this process-id namespace give their rings.
std::string own_prefix() {
  struct stat status = {};
  stat("/proc/self/ns/pid", &status);
  return "cineflow-" + std::to_string(status.st_ino) + "-";
}

std::string new_name() {
  char digits[17];
  std::snprintf(digits, sizeof(digits), "%016llx", static_cast<unsigned long long>(draw_bits()));
  return own_prefix() + std::to_string(getpid()) + "-" + digits;
}

/// Remove the names of programs that were killed before they could unlink them.
void sweep() {
  DIR* folder = opendir(kFolder);
  if (folder == nullptr) return;
  std::vector<std::string> names;
  while (const dirent* entry = readdir(folder)) names.emplace_back(entry->d_name);
  closedir(folder);
  for (const std::string& name : orphaned(names)) {
    unlink((std::string(kFolder) + "/" + name).c_str());
  }
}

[[noreturn]] void no_memory(std::size_t bytes, int error) {
  char size[32];
  std::snprintf(size, sizeof(size), "%.1f MB", static_cast<double>(bytes) / 1e6);
  throw Error(Code::kSharedMemoryUnavailable, std::string(size) + " of shared memory",
              std::string(std::strerror(error)) + " in " + kFolder,
              "Make it larger (docker: --shm-size) or use gRPC tensors.");
}

/// The segment, mapped. Reserved at once: a full /dev/shm would otherwise end the process on the
/// first write (SIGBUS).
unsigned char* create(const std::string& path, std::size_t bytes, int* descriptor) {
  const int file = open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0) no_memory(bytes, errno);
  int error = posix_fallocate(file, 0, static_cast<off_t>(bytes));
  void* start = MAP_FAILED;
  if (error == 0) {
    start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    error = start == MAP_FAILED ? errno : 0;
  }
  if (error != 0) {
    close(file);
    unlink(path.c_str());
    no_memory(bytes, error);
  }
  *descriptor = file;
  return static_cast<unsigned char*>(start);
}

}  // namespace

Memory::Memory(int frames, std::size_t frame_bytes, int areas, std::vector<Part> parts,
               std::size_t state_bytes)
    : process_(getpid()),
      frame_bytes_(frame_bytes),
      frame_stride_(aligned(frame_bytes)),
      parts_(std::move(parts)),
      areas_(areas) {
  areas_offset_ = times(static_cast<std::size_t>(frames), frame_stride_);
  for (Part& part : parts_) {
    part.offset = area_stride_;
    area_stride_ = plus(area_stride_, aligned(part.bytes));
  }
  bytes_ = plus(areas_offset_, times(static_cast<std::size_t>(areas), area_stride_));
  if (state_bytes > 0) {
    state_.bytes = state_bytes;
    state_.offset = area_stride_;
    bytes_ = plus(bytes_, aligned(state_bytes));
  }
  for (int area = areas; area-- > 0;) free_areas_.push_back(area);
}

std::shared_ptr<Memory> Memory::shared(
    int frames, std::size_t frame_bytes, int areas, std::vector<Part> parts,
    const std::function<void(const std::string&, std::size_t)>& register_region,
    std::size_t state_bytes) {
  std::shared_ptr<Memory> memory(
      new Memory(frames, frame_bytes, areas, std::move(parts), state_bytes));
  sweep();
  const std::string name = new_name();
  const std::string path = std::string(kFolder) + "/" + name;
  memory->region_ = name;
  memory->start_ = create(path, memory->bytes_, &memory->descriptor_);
  try {
    register_region(name, memory->bytes_);
  } catch (...) {
    unlink(path.c_str());
    throw;
  }
  unlink(path.c_str());
  return memory;
}

std::shared_ptr<Memory> Memory::own(int frames, std::size_t frame_bytes) {
  std::shared_ptr<Memory> memory(new Memory(frames, frame_bytes, 0, {}, 0));
  void* start = mmap(nullptr, memory->bytes_, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (start == MAP_FAILED) {
    throw Error(Code::kCineflowClientError, std::to_string(memory->bytes_) + " bytes of memory",
                std::strerror(errno));
  }
  memory->start_ = static_cast<unsigned char*>(start);
  return memory;
}

Memory::~Memory() {
  keep_to_itself();
  if (start_ != nullptr) munmap(start_, bytes_);
}

void Memory::keep_to_itself() noexcept {
  if (descriptor_ >= 0) close(descriptor_);
  descriptor_ = -1;
}

const Part* Memory::part(const std::string& name) const noexcept {
  for (const Part& one : parts_) {
    if (one.name == name) return &one;
  }
  return nullptr;
}

int Memory::take_area() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  if (free_areas_.empty()) return -1;
  const int area = free_areas_.back();
  free_areas_.pop_back();
  return area;
}

void Memory::free_area(int area) noexcept {
  if (area < 0 || getpid() != process_) return;  // a forked child may have inherited a held lock
  const std::lock_guard<Lock> guard(lock_);
  free_areas_.push_back(area);  // it was in there before, so there is room
}

int Memory::areas_left() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  return static_cast<int>(free_areas_.size());
}

std::vector<std::string> orphaned(const std::vector<std::string>& names) {
  const std::string prefix = own_prefix();
  std::vector<std::string> gone;
  for (const std::string& name : names) {
    if (name.compare(0, prefix.size(), prefix) != 0) continue;
    char* end = nullptr;
    errno = 0;
    const long pid = std::strtol(name.c_str() + prefix.size(), &end, 10);
    const bool decimal = end != name.c_str() + prefix.size() && *end == '-' && errno == 0;
    if (!decimal || pid <= 0 || pid > INT32_MAX) continue;
    if (kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH) gone.push_back(name);
  }
  return gone;
}

}  // namespace cineflow_client
