#include "device_page_lock.hpp"

#include <accel/fault.hpp>

#include <algorithm>
#include <thread>
#include <vector>

#include "../driver/device.hpp"
#include "capture_mode.hpp"

namespace accel_cuda {
namespace {

constexpr std::size_t kTouchedByThread = std::size_t{16} << 20;
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

// The system backs pages when they are first written. The driver does that on one thread, which is
// most of what locking a fresh gigabyte takes: 0.23 s with huge pages and 0.40 s with small ones on
// an H200's host, 0.06 s when eight threads came before it.
void DevicePageLock::prepare(void* fresh, std::size_t nbytes) {
  const std::size_t processors = std::thread::hardware_concurrency();
  const std::size_t threads = std::min({nbytes / kTouchedByThread, processors / 2, kMostThreads});
  if (threads < 2) return;
  std::string refused;  // small pages do as well, more slowly
  accel::advise_huge_pages(fresh, nbytes, false, refused);
  auto* const bytes = static_cast<volatile char*>(fresh);
  const std::size_t pages = nbytes / accel::kPageBytes;
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i < threads; ++i) {
    workers.emplace_back([=] {
      for (std::size_t page = pages * i / threads; page < pages * (i + 1) / threads; ++page) {
        bytes[page * accel::kPageBytes] = 0;
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
}

bool DevicePageLock::lock(void* base, std::size_t nbytes, std::string& why) {
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
