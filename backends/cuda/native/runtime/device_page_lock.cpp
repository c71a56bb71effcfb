#include "device_page_lock.hpp"

#include <accel/fault.hpp>
#include <sys/mman.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "../driver/device.hpp"
#include "capture_mode.hpp"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14
#endif

namespace accel_cuda {
namespace {

constexpr std::size_t kPopulatedAtOnce = std::size_t{32} << 20;  // by one thread
constexpr std::size_t kMostThreads = 8;

std::uintptr_t address(const void* at) { return reinterpret_cast<std::uintptr_t>(at); }

// Registering needs a context, whichever: the pages are locked for all of them.
const Device& any_device() {
  const int count = Device::count();
  for (int index = 0; index < count; ++index) {
    if (const Device* known = Device::find(index)) return *known;
  }
  return Device::get(0);
}

}  // namespace

void populate_pages(void* base, std::size_t nbytes) {
  const std::size_t processors = std::thread::hardware_concurrency();
  const std::size_t threads = std::min({nbytes / kPopulatedAtOnce, processors / 2, kMostThreads});
  if (threads < 2) return;
  auto* const bytes = static_cast<char*>(base);
  const std::size_t pages = nbytes / accel::kHugePageBytes;
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i < threads; ++i) {
    const std::size_t first = pages * i / threads * accel::kHugePageBytes;
    const std::size_t last =
        i + 1 == threads ? nbytes : pages * (i + 1) / threads * accel::kHugePageBytes;
    workers.emplace_back([=] { madvise(bytes + first, last - first, MADV_POPULATE_WRITE); });
  }
  for (std::thread& worker : workers) worker.join();
}

bool DevicePageLock::lock(void* base, std::size_t nbytes, std::string& why) {
  const bool whole_pages =
      address(base) % accel::kPageBytes == 0 && nbytes % accel::kPageBytes == 0;
  if (whole_pages && nbytes >= 2 * kPopulatedAtOnce) {
    std::string refused;  // small pages do as well, more slowly
    accel::advise_huge_pages(base, nbytes, false, refused);
    populate_pages(base, nbytes);
  }
  UnrelatedToCaptures unrelated;
  Current current(any_device());
  const Result result = driver().host_register(base, nbytes, kHostPortable | kHostMapped);
  if (result == kSuccess) return true;
  if (result == kHostMemoryAlreadyRegistered) {
    throw accel::ArgumentFault(
        accel::ArgumentFault::Kind::Overlap, "memory", "memory that is not page-locked yet",
        std::to_string(nbytes) + " bytes at " + std::to_string(address(base)) +
            ", some of which the driver has page-locked for another library",
        "use it as it is: copies from and to it run at full rate");
  }
  if (is_sticky(result)) throw_driver_fault(result, Entry::host_register);
  why = DriverFault(result, Entry::host_register).what();
  return false;
}

void DevicePageLock::unlock(void* base, std::size_t) {
  UnrelatedToCaptures unrelated;
  Current current(any_device());
  // What may go wrong is a lost context, which has let go of the pages already.
  driver().host_unregister(base);
}

}  // namespace accel_cuda
