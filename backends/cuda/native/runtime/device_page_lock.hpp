// Host pages locked by the driver, so that every device copies from and to them at full rate and
// kernels reach them at their own address.
#pragma once

#include <accel/page_lock.hpp>

#include <cstddef>
#include <string>

namespace accel_cuda {

class DevicePageLock : public accel::PageLock {
 public:
  bool lock(void* base, std::size_t nbytes, std::string& why) override;
  void unlock(void* base, std::size_t nbytes) override;
  void before_unmapping(void* base, std::size_t nbytes) override { unlock(base, nbytes); }
  bool by_page() const override { return false; }
  bool optional() const override { return false; }
};

// Makes the system back [base, base + nbytes) with pages now, on several threads when that is worth
// it: the driver does it on one, which is most of what a fresh allocation takes. Whole pages; what
// fails is left for the first touch.
void populate_pages(void* base, std::size_t nbytes);

}  // namespace accel_cuda
