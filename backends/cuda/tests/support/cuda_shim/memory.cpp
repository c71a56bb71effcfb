// Buffers: [page without access][guard bytes][data][guard bytes][page without access]. The data ends
// at the last page, as closely as its alignment allows; the guard bytes fill up the pages. Under a
// sanitizer: plain allocations of exact size, which it guards itself.
#include "memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

namespace accel_shim {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(ACCEL_SHIM_RACES)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
constexpr unsigned char kGuardByte = 0xC3;
constexpr int kSignals[3] = {SIGSEGV, SIGBUS, SIGFPE};
constexpr std::size_t kHandlerStack = 128 * 1024;

struct Buffer {
  unsigned char* map;
  std::uint64_t mapped;
  std::uint64_t bytes;
  std::string name;
};
std::map<unsigned char*, Buffer>& buffers() {
  static std::map<unsigned char*, Buffer> all;
  return all;
}

std::uint64_t page() {
  static const auto bytes = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

std::uint64_t rounded_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

unsigned char* allocate(std::uint64_t bytes, std::uint64_t alignment, const char* name) {
  Buffer buffer{nullptr, 0, bytes, name};
  unsigned char* data = nullptr;
  if (kSanitized) {
    void* memory = nullptr;
    if (posix_memalign(&memory, alignment < 16 ? 16 : alignment, bytes ? bytes : 1) != 0) {
      return nullptr;
    }
    data = buffer.map = static_cast<unsigned char*>(memory);
  } else {
    const std::uint64_t room = rounded_up(rounded_up(bytes, alignment) + 1, page());
    buffer.mapped = room + 2 * page();
    void* memory = mmap(nullptr, buffer.mapped, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    buffer.map = static_cast<unsigned char*>(memory);
    unsigned char* end = buffer.map + page() + room;
    mprotect(buffer.map, page(), PROT_NONE);
    mprotect(end, page(), PROT_NONE);
    data = end - rounded_up(bytes, alignment);
    std::memset(buffer.map + page(), kGuardByte, static_cast<std::size_t>(data - buffer.map) - page());
    std::memset(data + bytes, kGuardByte, static_cast<std::size_t>(end - data) - bytes);
  }
  buffers()[data] = buffer;
  return data;
}

void release(unsigned char* data) {
  const auto found = buffers().find(data);
  if (found == buffers().end()) return;
  if (kSanitized) {
    std::free(found->second.map);
  } else {
    munmap(found->second.map, found->second.mapped);
  }
  buffers().erase(found);
}

}  // namespace

SharedMemory::~SharedMemory() { release(begin_); }

void SharedMemory::allocate(std::uint64_t bytes) {
  bytes_ = bytes;
  begin_ = accel_shim::allocate(bytes, 128, "dynamic shared memory");
}

std::string describe_address(const void* address) {
  const auto* p = static_cast<const unsigned char*>(address);
  char text[256];
  std::snprintf(text, sizeof text, "%p", address);
  std::string result = text;
  for (const auto& [data, buffer] : buffers()) {
    if (buffer.map <= p && p < buffer.map + buffer.mapped) {
      std::snprintf(text, sizeof text, " is at offset %lld of '%s', which has %llu bytes",
                    static_cast<long long>(p - data), buffer.name.c_str(),
                    static_cast<unsigned long long>(buffer.bytes));
      return result + text;
    }
  }
  return result + " is near no buffer";
}

std::string damaged_guard() {
  if (kSanitized) return "";
  for (const auto& [data, buffer] : buffers()) {
    const unsigned char* end = buffer.map + buffer.mapped - page();
    for (const unsigned char* p = buffer.map + page(); p != end; ++p) {
      if (p == data) p += buffer.bytes;
      if (p == end) break;
      if (*p != kGuardByte) return "written outside of the buffers: " + describe_address(p);
    }
  }
  return "";
}

SignalGuard::SignalGuard(void (*handler)(int, siginfo_t*, void*)) {
  if (kSanitized) return;
  stack_ = static_cast<unsigned char*>(std::malloc(kHandlerStack));
  stack_t stack = {};
  stack.ss_sp = stack_;
  stack.ss_size = kHandlerStack;
  sigaltstack(&stack, &stack_before_);
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (int i = 0; i < 3; ++i) sigaction(kSignals[i], &action, &before_[i]);
}

SignalGuard::~SignalGuard() {
  if (kSanitized) return;
  for (int i = 0; i < 3; ++i) sigaction(kSignals[i], &before_[i], nullptr);
  sigaltstack(&stack_before_, nullptr);
  std::free(stack_);
}

}  // namespace accel_shim

extern "C" void* accel_shim_allocate(std::uint64_t bytes, std::uint64_t alignment,
                                     const char* name) {
  return accel_shim::allocate(bytes, alignment, name);
}
extern "C" void accel_shim_release(void* data) {
  accel_shim::release(static_cast<unsigned char*>(data));
}
