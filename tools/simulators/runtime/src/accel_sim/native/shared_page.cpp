#include "shared_page.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "accel_sim/failure.hpp"
#include "address_space.hpp"

namespace accel_sim {
namespace {

SharedPage* map_page(int file, const std::string& whose) {
  void* got = mmap(nullptr, sizeof(SharedPage), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (got == MAP_FAILED) {
    throw Failure(Kind::ipc, "the shared page of " + whose + " cannot be mapped: " +
                                 std::strerror(errno));
  }
  return static_cast<SharedPage*>(got);
}

struct Own {
  int file;
  SharedPage* page;
};

const Own& own() {
  static const Own* const one = [] {
    const int file = anonymous_file("accel_sim_shared", sizeof(SharedPage));
    return new Own{file, map_page(file, "this process")};
  }();
  return *one;
}

template <typename Slots>
int take(Slots& slots, const char* what) {
  for (int slot = 0; slot < SharedPage::kSlots; ++slot) {
    std::uint32_t expected = 0;
    if (slots[slot].live.compare_exchange_strong(expected, 1)) return slot;
  }
  throw Failure(Kind::ipc, std::string("this process shares its limit of ") +
                               std::to_string(SharedPage::kSlots) + " " + what);
}

}  // namespace

SharedPage& own_page() { return *own().page; }
int own_page_file() { return own().file; }
int take_event_slot() { return take(own_page().events, "events"); }
int take_memory_slot() { return take(own_page().memories, "ranges of memory"); }
void give_memory_slot(int slot) {
  SharedMemory& memory = own_page().memories[slot];
  memory.allowed_count.store(0);
  memory.nonce = 0;
  memory.live.store(0);
}

int open_file_of(pid_t pid, int file) {
  const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(file);
  const int opened = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (opened < 0) {
    throw Failure(Kind::ipc, "memory of process " + std::to_string(pid) + " cannot be opened: " +
                                 std::strerror(errno));
  }
  return opened;
}

SharedPage& page_of(pid_t pid, int file) {
  if (pid == getpid()) return own_page();
  static std::mutex* const mutex = new std::mutex;
  static auto* const pages = new std::map<std::pair<pid_t, int>, SharedPage*>;
  std::lock_guard<std::mutex> lock(*mutex);
  SharedPage*& page = (*pages)[{pid, file}];
  if (!page) {
    const int opened = open_file_of(pid, file);
    try {
      page = map_page(opened, "process " + std::to_string(pid));
    } catch (...) {
      close(opened);
      throw;
    }
    close(opened);
  }
  return *page;
}

void allow(SharedMemory& memory, int pid) {
  const std::uint32_t count = memory.allowed_count.load();
  if (count == SharedMemory::kAllowed) throw Failure(Kind::ipc, "too many processes to share with");
  memory.allowed[count].store(pid);
  memory.allowed_count.store(count + 1);
}

bool allowed(const SharedMemory& memory, int pid) {
  if (memory.open_to_all) return true;
  const std::uint32_t count = memory.allowed_count.load();
  for (std::uint32_t one = 0; one < count && one < SharedMemory::kAllowed; ++one) {
    if (memory.allowed[one].load() == pid) return true;
  }
  return false;
}

bool process_alive(pid_t pid) { return kill(pid, 0) == 0 || errno == EPERM; }

}  // namespace accel_sim
