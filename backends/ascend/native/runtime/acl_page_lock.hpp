// Host memory locked by ACL: its own allocator's where plain memory is wanted, registered pages
// for shared segments, NUMA nodes, huge pages and callers' memory.
#pragma once

#include <accel/page_lock.hpp>

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "../acl/device.hpp"

namespace accel_ascend {

class AclPageLock : public accel::PageLock {
 public:
  // ACL wants a device for all of this, whichever.
  static void use_device(int index);

  bool allocates() const override { return true; }
  void* allocate(std::size_t nbytes, std::string& why) override;
  void free(void* base) override;

  // Whole pages are registered; those that two ranges share once.
  bool lock(void* base, std::size_t nbytes, std::string& why) override;
  void unlock(void* base, std::size_t nbytes) override;
  void before_unmapping(void* base, std::size_t nbytes) override { unlock(base, nbytes); }
  bool by_page() const override { return false; }
  bool optional() const override { return false; }

 private:
  struct Segment {
    std::uintptr_t end;
    int users;
  };
  void let_go(const std::vector<std::uintptr_t>& segments);

  std::mutex mutex_;
  struct Block {
    void* raw;  // ACL's address; ours is aligned to pages
    unsigned generation;
  };
  struct Range {
    std::vector<std::uintptr_t> segments;
    unsigned generation;
  };

  std::map<void*, Block> allocated_;
  std::map<std::uintptr_t, Segment> segments_;  // registered, by first byte
  std::map<void*, Range> ranges_;
};

// Whether host memory can be registered on this chip with this CANN, tried with one page.
bool registration_works(std::string& why);

}  // namespace accel_ascend
