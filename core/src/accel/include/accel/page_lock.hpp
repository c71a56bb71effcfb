// How pages are locked: by the operating system alone, or by a device's driver for its copies.
#pragma once

#include <cstddef>
#include <string>

#include "host_pages.hpp"

namespace accel {

class PageLock {
 public:
  virtual ~PageLock() = default;

  // Before fresh pages of the pool, which nobody has written, are locked: a chance to touch them.
  virtual void prepare(void* fresh, std::size_t nbytes) {
    static_cast<void>(fresh);
    static_cast<void>(nbytes);
  }
  // Whether plain blocks come from `allocate`, locked, instead of being mapped and locked then.
  virtual bool allocates() const { return false; }
  // Null with the reason in `why`.
  virtual void* allocate(std::size_t nbytes, std::string& why) {
    static_cast<void>(nbytes);
    why = "this lock does not allocate";
    return nullptr;
  }
  virtual void free(void* base) { static_cast<void>(base); }
  // False with the reason in `why`; ArgumentFault on "memory" where the range itself is wrong.
  virtual bool lock(void* base, std::size_t nbytes, std::string& why) = 0;
  virtual void unlock(void* base, std::size_t nbytes) = 0;
  // The pages are about to be unmapped; only called for what is locked.
  virtual void before_unmapping(void* base, std::size_t nbytes) = 0;
  // Whether ranges must be of whole pages, and locks of one page do not add up.
  virtual bool by_page() const = 0;
  // Whether memory that could not be locked is of use all the same, and handed out with a note.
  virtual bool optional() const = 0;
};

// mlock. Locks do not nest, and go with the mapping.
class SystemPageLock : public PageLock {
 public:
  bool lock(void* base, std::size_t nbytes, std::string& why) override {
    return lock_pages(base, nbytes, why);
  }
  void unlock(void* base, std::size_t nbytes) override { unlock_pages(base, nbytes); }
  void before_unmapping(void*, std::size_t) override {}
  bool by_page() const override { return true; }
  bool optional() const override { return true; }
};

}  // namespace accel
