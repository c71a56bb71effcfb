// Host memory registered with ACL: shared segments, NUMA nodes, huge pages and callers' memory.
// Plain memory comes from its allocator.
#pragma once

#include <accel/torch_device/pinned.hpp>

#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace accel_ascend {

class AclPageLock : public accel::DevicePageLock {
 public:
  // Whether host memory can be registered on this chip with this CANN, tried with one page.
  static bool works(std::string& why);

  // Whole pages are registered; those that two ranges share once.
  bool lock(void* base, std::size_t nbytes, std::string& why) override;
  void unlock(void* base, std::size_t nbytes) override;

 private:
  struct Segment {
    std::uintptr_t end;
    int users;
  };
  void let_go(const std::vector<std::uintptr_t>& segments);

  std::mutex mutex_;
  struct Range {
    std::vector<std::uintptr_t> segments;
    unsigned generation;
  };

  std::map<std::uintptr_t, Segment> segments_;  // registered, by first byte
  std::map<void*, Range> ranges_;
};

}  // namespace accel_ascend
