// Command-line arguments that `ps` does not show.
//
// Problem: tritonserver takes the key of its restricted protocols on its command line only, and
// every user of the machine may read a command line. A process' environment is readable to its own
// user alone.
//
// Solution: this library is loaded before the server (LD_PRELOAD). It takes the place of the C
// library's start function, and gives `main` the arguments of CINEFLOW_HIDDEN_ARGUMENTS (one per
// line) after those of the command line. The variable is then removed, so that the server's own
// children do not inherit it.
//
// It also keeps the names of the folders that the server makes with mkdtemp, such as
// /tmp/python_env_XXXXXX, in the file CINEFLOW_MADE. A server that is killed leaves them, and
// nothing else tells whose they are.
//
// Usage: LD_PRELOAD=libcineflow_arguments.so CINEFLOW_HIDDEN_ARGUMENTS=--key=... tritonserver ...

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

namespace {

using Main = int (*)(int, char**, char**);
using Function = void (*)();
using MakeFolder = char* (*)(char*);
using Start = int (*)(Main, int, char**, Function, Function, Function, void*);

constexpr const char* kVariable = "CINEFLOW_HIDDEN_ARGUMENTS";
constexpr const char* kMadeVariable = "CINEFLOW_MADE";

Main program_main = nullptr;

int main_with_hidden_arguments(int count, char** arguments, char** environment) {
  const char* hidden = std::getenv(kVariable);
  if (hidden == nullptr) return program_main(count, arguments, environment);

  // They live as long as the program, as those of the command line do.
  auto& lines = *new std::vector<std::string>;
  std::istringstream text(hidden);
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  unsetenv(kVariable);

  auto& all = *new std::vector<char*>(arguments, arguments + count);
  for (std::string& line : lines) all.push_back(line.data());
  all.push_back(nullptr);
  return program_main(static_cast<int>(all.size()) - 1, all.data(), environment);
}

// Appends a line to a file. The folder is there whether this works or not.
void keep_name(const char* file, std::string line) {
  line += '\n';
  const int descriptor = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (descriptor < 0) return;
  if (write(descriptor, line.data(), line.size()) < 0) { /* nothing to be done */
  }
  close(descriptor);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) char* mkdtemp(char* name) noexcept {
  const auto make = reinterpret_cast<MakeFolder>(dlsym(RTLD_NEXT, "mkdtemp"));
  char* made = make(name);
  const char* file = std::getenv(kMadeVariable);
  if (made != nullptr && file != nullptr) keep_name(file, made);
  return made;
}

extern "C" __attribute__((visibility("default"))) int __libc_start_main(
    Main main, int count, char** arguments, Function init, Function fini, Function rtld_fini,
    void* stack_end) {
  const auto start = reinterpret_cast<Start>(dlsym(RTLD_NEXT, "__libc_start_main"));
  program_main = main;
  return start(main_with_hidden_arguments, count, arguments, init, fini, rtld_fini, stack_end);
}
