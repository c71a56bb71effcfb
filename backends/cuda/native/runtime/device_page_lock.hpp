// Host pages locked by the driver, so that every device copies from and to them at full rate and
// kernels reach them at their own address.
#pragma once

#include <accel/page_lock.hpp>

#include <cstddef>
#include <string>

namespace accel_cuda {

class DevicePageLock : public accel::PageLock {
 public:
  void prepare(void* fresh, std::size_t nbytes) override;
  bool lock(void* base, std::size_t nbytes, std::string& why) override;
  void unlock(void* base, std::size_t nbytes) override;
  void before_unmapping(void* base, std::size_t nbytes) override { unlock(base, nbytes); }
  bool by_page() const override { return false; }
  bool optional() const override { return false; }
};

}  // namespace accel_cuda
