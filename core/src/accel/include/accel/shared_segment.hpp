// A named shared-memory segment that knows whether its maker is still there.
//
// The maker holds a record lock (fcntl F_SETLK) on the segment's file from creation to its end; the
// kernel drops it when the process dies, in any way and in any PID namespace, so others can tell.
// Such locks are lost when the process closes *any* descriptor of the file: so a process never
// opens its own segments a second time; open() finds them in a table and maps the same descriptor
// again. That table is of one library: libraries in one process take different prefixes.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>

#include "fault.hpp"
#include "fork.hpp"

namespace accel {

class SharedSegment {
 public:
  // A new zeroed segment named "/<prefix>-...". Throws Fault OutOfMemory.
  static std::shared_ptr<SharedSegment> create(const std::string& prefix, std::size_t nbytes);
  // The segment of that name, made by a living process. ArgumentFault on `argument` otherwise.
  static std::shared_ptr<SharedSegment> open(const std::string& name, const std::string& prefix,
                                             const char* argument);
  ~SharedSegment();
  SharedSegment(const SharedSegment&) = delete;
  SharedSegment& operator=(const SharedSegment&) = delete;

  void* data() const { return data_; }
  std::size_t nbytes() const { return nbytes_; }  // as asked for; the mapping is whole pages
  std::size_t mapped_bytes() const { return mapped_; }
  const std::string& name() const { return name_; }
  bool made_here() const;
  bool maker_alive() const;
  // Takes the name away; mappings stay valid. The maker's destructor does it too.
  void unlink();

 private:
  SharedSegment(std::string name, int file, bool maker)
      : name_(std::move(name)), file_(file), maker_(maker) {}
  void map(std::size_t nbytes);

  const std::string name_;
  const int file_;
  const bool maker_;
  unsigned generation_ = 0;
  void* data_ = nullptr;
  std::size_t nbytes_ = 0, mapped_ = 0;
  bool linked_ = false;
  std::shared_ptr<SharedSegment>
      origin_;  // opened in its maker's process: a second mapping of this
};

namespace detail {

struct MadeSegments {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<SharedSegment>> segments;  // of this process, by name
  std::set<std::string> linked;                                  // names still to be unlinked
};

// A forked child made nothing, and must not take its parent's names away.
inline std::atomic<MadeSegments*> current_made_segments{nullptr};

inline MadeSegments& made_segments() {
  static const bool registered = [] {
    current_made_segments.store(new MadeSegments);
    at_fork_child([] { current_made_segments.store(new MadeSegments); });
    return true;
  }();
  (void)registered;
  return *current_made_segments.load();
}

inline struct flock whole_file(short type) {
  struct flock lock;
  std::memset(&lock, 0, sizeof lock);
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

inline bool locked_by_another(int file) {
  struct flock lock = whole_file(F_WRLCK);
  return fcntl(file, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

inline std::string random_suffix() {
  std::random_device entropy;
  char text[40];
  std::snprintf(text, sizeof text, "%ld-%08x%08x", static_cast<long>(getpid()), entropy(),
                entropy());
  return text;
}

// Segments of processes that were killed keep their names and memory: the next maker removes them.
inline void remove_orphaned_segments(const std::string& prefix) {
  DIR* directory = opendir("/dev/shm");
  if (directory == nullptr) return;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name.compare(0, prefix.size() + 1, prefix + "-") != 0) continue;
    {
      std::lock_guard<std::mutex> lock(made_segments().mutex);
      if (made_segments().segments.count("/" + name) != 0) continue;
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

inline void sweep_once(const std::string& prefix) {
  static std::mutex mutex;
  static auto* swept = new std::set<std::string>;
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (!swept->insert(prefix).second) return;
  }
  remove_orphaned_segments(prefix);
}

[[noreturn]] inline void segment_refused(const char* what, std::size_t nbytes) {
  throw Fault(Fault::Kind::OutOfMemory, "a shared-memory segment of " + std::to_string(nbytes) +
                                            " bytes: " + what + " failed: " + std::strerror(errno));
}

}  // namespace detail

inline std::shared_ptr<SharedSegment> SharedSegment::create(const std::string& prefix,
                                                     std::size_t nbytes) {
  detail::sweep_once(prefix);
  const std::string name = "/" + prefix + "-" + detail::random_suffix();
  const int file = shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) detail::segment_refused("shm_open", nbytes);
  std::shared_ptr<SharedSegment> segment(new SharedSegment(name, file, true));
  segment->linked_ = true;
  segment->generation_ = fork_generation();
  {
    std::lock_guard<std::mutex> lock(detail::made_segments().mutex);
    detail::made_segments().segments[name] = segment;
    detail::made_segments().linked.insert(name);
  }
  struct flock lock = detail::whole_file(F_WRLCK);
  if (fcntl(file, F_SETLK, &lock) != 0) detail::segment_refused("fcntl(F_SETLK)", nbytes);
  if (ftruncate(file, static_cast<off_t>(nbytes)) != 0) {
    detail::segment_refused("ftruncate", nbytes);
  }
  // Reserve the memory now: touching a page that /dev/shm has no room for would be a SIGBUS.
  const int refused = nbytes == 0 ? 0 : posix_fallocate(file, 0, static_cast<off_t>(nbytes));
  if (refused != 0) {
    errno = refused;
    detail::segment_refused("posix_fallocate", nbytes);
  }
  segment->map(nbytes);
  return segment;
}

inline std::shared_ptr<SharedSegment> SharedSegment::open(const std::string& name,
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
    std::lock_guard<std::mutex> lock(detail::made_segments().mutex);
    const auto at = detail::made_segments().segments.find(name);
    if (at != detail::made_segments().segments.end()) {
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
  if (!detail::locked_by_another(file)) throw refuse("'" + name + "', whose maker has ended");
  segment->map(static_cast<std::size_t>(info.st_size));
  return segment;
}

inline void SharedSegment::map(std::size_t nbytes) {
  constexpr std::size_t kPage = 4096;
  nbytes_ = nbytes;
  mapped_ = (nbytes + kPage - 1) / kPage * kPage;
  if (mapped_ == 0) mapped_ = kPage;
  void* at = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
  if (at == MAP_FAILED) detail::segment_refused("mmap", nbytes);
  data_ = at;
}

inline SharedSegment::~SharedSegment() {
  unlink();
  if (maker_ && generation_ == fork_generation()) {
    std::lock_guard<std::mutex> lock(detail::made_segments().mutex);
    detail::made_segments().segments.erase(name_);
  }
  if (data_ != nullptr) munmap(data_, mapped_);
  if (origin_ == nullptr) close(file_);
}

inline bool SharedSegment::made_here() const { return maker_ && generation_ == fork_generation(); }

inline bool SharedSegment::maker_alive() const {
  if (origin_ != nullptr) return origin_->maker_alive();
  return made_here() || detail::locked_by_another(file_);
}

inline void SharedSegment::unlink() {
  if (!made_here()) return;
  std::lock_guard<std::mutex> lock(detail::made_segments().mutex);
  if (!linked_) return;
  linked_ = false;
  shm_unlink(name_.c_str());
  detail::made_segments().linked.erase(name_);
}

// Unlinks what this process made and still has a name: at the program's end.
inline void unlink_shared_segments() {
  std::lock_guard<std::mutex> lock(detail::made_segments().mutex);
  for (const auto& name : detail::made_segments().linked) shm_unlink(name.c_str());
  detail::made_segments().linked.clear();
}

}  // namespace accel
