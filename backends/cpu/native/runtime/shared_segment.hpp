// A named shared-memory segment that knows whether its maker is still there.
//
// The maker holds a record lock (fcntl F_SETLK) on the segment's file from creation to its end; the
// kernel drops it when the process dies, in any way and in any PID namespace, so others can tell.
// Such locks are lost when the process closes *any* descriptor of the file: so a process never
// opens its own segments a second time; open() finds them in a table and maps the same descriptor
// again.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace accel_cpu {

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

// Unlinks what this process made and still has a name: at the program's end.
void unlink_shared_segments();

}  // namespace accel_cpu
