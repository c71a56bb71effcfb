#include "shared_segment.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <map>
#include <mutex>
#include <random>
#include <set>

#include "fault.hpp"
#include "lifecycle.hpp"

namespace accel_cpu {
namespace {

struct Made {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<SharedSegment>> segments;  // of this process, by name
  std::set<std::string> linked;                                  // names still to be unlinked
};

// A forked child made nothing, and must not take its parent's names away.
std::atomic<Made*> current_made{nullptr};

Made& made() {
  static const bool registered = [] {
    current_made.store(new Made);
    at_fork_child([] { current_made.store(new Made); });
    return true;
  }();
  (void)registered;
  return *current_made.load();
}

struct flock whole_file(short type) {
  struct flock lock;
  std::memset(&lock, 0, sizeof lock);
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

bool locked_by_another(int file) {
  struct flock lock = whole_file(F_WRLCK);
  return fcntl(file, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

std::string random_suffix() {
  std::random_device entropy;
  char text[40];
  std::snprintf(text, sizeof text, "%ld-%08x%08x", static_cast<long>(getpid()), entropy(),
                entropy());
  return text;
}

// Segments of processes that were killed keep their names and memory: the next maker removes them.
void remove_orphans(const std::string& prefix) {
  DIR* directory = opendir("/dev/shm");
  if (directory == nullptr) return;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name.compare(0, prefix.size() + 1, prefix + "-") != 0) continue;
    {
      std::lock_guard<std::mutex> lock(made().mutex);
      if (made().segments.count("/" + name) != 0) continue;
    }
    const int file = shm_open(("/" + name).c_str(), O_RDWR | O_CLOEXEC, 0);
    if (file < 0) continue;  // another user's
    struct stat info;
    // A minute's grace: a maker locks its segment just after creating it.
    if (fstat(file, &info) == 0 && std::time(nullptr) - info.st_ctime > 60 &&
        !locked_by_another(file)) {
      shm_unlink(("/" + name).c_str());
    }
    close(file);
  }
  closedir(directory);
}

[[noreturn]] void out_of_memory(const char* what, std::size_t nbytes) {
  throw Fault(Fault::Kind::OutOfMemory, "a shared-memory segment of " + std::to_string(nbytes) +
                                            " bytes: " + what + " failed: " + std::strerror(errno));
}

}  // namespace

std::shared_ptr<SharedSegment> SharedSegment::create(const std::string& prefix,
                                                     std::size_t nbytes) {
  static std::once_flag swept;
  std::call_once(swept, [] {
    remove_orphans("accel-event");
    remove_orphans("accel-pinned");
  });
  const std::string name = "/" + prefix + "-" + random_suffix();
  const int file = shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) out_of_memory("shm_open", nbytes);
  std::shared_ptr<SharedSegment> segment(new SharedSegment(name, file, true));
  segment->linked_ = true;
  segment->generation_ = fork_generation();
  {
    std::lock_guard<std::mutex> lock(made().mutex);
    made().segments[name] = segment;
    made().linked.insert(name);
  }
  struct flock lock = whole_file(F_WRLCK);
  if (fcntl(file, F_SETLK, &lock) != 0) out_of_memory("fcntl(F_SETLK)", nbytes);
  if (ftruncate(file, static_cast<off_t>(nbytes)) != 0) out_of_memory("ftruncate", nbytes);
  // Reserve the memory now: touching a page that /dev/shm has no room for would be a SIGBUS.
  const int refused = nbytes == 0 ? 0 : posix_fallocate(file, 0, static_cast<off_t>(nbytes));
  if (refused != 0) {
    errno = refused;
    out_of_memory("posix_fallocate", nbytes);
  }
  segment->map(nbytes);
  return segment;
}

std::shared_ptr<SharedSegment> SharedSegment::open(const std::string& name,
                                                   const std::string& prefix,
                                                   const char* argument) {
  const auto refuse = [&](const std::string& why) -> ArgumentFault {
    return ArgumentFault(ArgumentFault::Kind::Argument, argument,
                         "the handle of a segment whose maker is alive", why,
                         "pass the handle while the maker still holds the object");
  };
  if (name.size() > 200 || name.compare(0, prefix.size() + 2, "/" + prefix + "-") != 0 ||
      name.find('/', 1) != std::string::npos || name.find('\0') != std::string::npos) {
    throw ArgumentFault(ArgumentFault::Kind::Argument, argument,
                        "a handle of the form /" + prefix + "-...", "'" + name + "'");
  }
  {
    std::shared_ptr<SharedSegment> own;  // outlives the lock: its destructor takes it too
    std::lock_guard<std::mutex> lock(made().mutex);
    const auto at = made().segments.find(name);
    if (at != made().segments.end()) {
      own = at->second.lock();
      if (own == nullptr || !own->linked_) throw refuse("'" + name + "', which was released");
      std::shared_ptr<SharedSegment> again(new SharedSegment(name, own->file_, false));
      again->origin_ = own;
      again->map(own->nbytes_);
      return again;
    }
  }
  const int file = shm_open(name.c_str(), O_RDWR | O_CLOEXEC, 0);
  if (file < 0) throw refuse("'" + name + "': " + std::strerror(errno));
  std::shared_ptr<SharedSegment> segment(new SharedSegment(name, file, false));
  segment->generation_ = fork_generation();
  struct stat info;
  if (fstat(file, &info) != 0) throw refuse("'" + name + "': " + std::strerror(errno));
  if (!locked_by_another(file)) throw refuse("'" + name + "', whose maker has ended");
  segment->map(static_cast<std::size_t>(info.st_size));
  return segment;
}

void SharedSegment::map(std::size_t nbytes) {
  constexpr std::size_t kPage = 4096;
  nbytes_ = nbytes;
  mapped_ = (nbytes + kPage - 1) / kPage * kPage;
  if (mapped_ == 0) mapped_ = kPage;
  void* at = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
  if (at == MAP_FAILED) out_of_memory("mmap", nbytes);
  data_ = at;
}

SharedSegment::~SharedSegment() {
  unlink();
  if (maker_ && generation_ == fork_generation()) {
    std::lock_guard<std::mutex> lock(made().mutex);
    made().segments.erase(name_);
  }
  if (data_ != nullptr) munmap(data_, mapped_);
  if (origin_ == nullptr) close(file_);
}

bool SharedSegment::made_here() const { return maker_ && generation_ == fork_generation(); }

bool SharedSegment::maker_alive() const {
  if (origin_ != nullptr) return origin_->maker_alive();
  return made_here() || locked_by_another(file_);
}

void SharedSegment::unlink() {
  if (!made_here()) return;
  std::lock_guard<std::mutex> lock(made().mutex);
  if (!linked_) return;
  linked_ = false;
  shm_unlink(name_.c_str());
  made().linked.erase(name_);
}

void unlink_shared_segments() {
  std::lock_guard<std::mutex> lock(made().mutex);
  for (const auto& name : made().linked) shm_unlink(name.c_str());
  made().linked.clear();
}

}  // namespace accel_cpu
