#include "table.hpp"

#include <dlfcn.h>

#include <mutex>

#include "error.hpp"

namespace accel_cuda {

namespace detail {
Driver the_driver;
}

namespace {

std::mutex opening;
bool opened = false;

const char* default_library(Vendor vendor) {
  return vendor == Vendor::Cuda ? "libcuda.so.1" : "libamdhip64.so";
}

// The HIP runtime that torch brought along is loaded already, under a name with a version.
void* open_library(Vendor vendor, const std::string& path, std::string& name) {
  if (!path.empty()) {
    name = path;
    return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  static const char* const kCuda[] = {"libcuda.so.1", "libcuda.so"};
  static const char* const kHip[] = {"libamdhip64.so", "libamdhip64.so.7", "libamdhip64.so.6",
                                     "libamdhip64.so.5"};
  if (vendor == Vendor::Hip) {
    for (const char* candidate : kHip) {
      name = candidate;
      if (void* loaded = dlopen(candidate, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD)) return loaded;
    }
    for (const char* candidate : kHip) {
      name = candidate;
      if (void* loaded = dlopen(candidate, RTLD_NOW | RTLD_LOCAL)) return loaded;
    }
    return nullptr;
  }
  for (const char* candidate : kCuda) {
    name = candidate;
    if (void* loaded = dlopen(candidate, RTLD_NOW | RTLD_LOCAL)) return loaded;
  }
  return nullptr;
}

template <class F>
void find(void* library, const char* name, F& member) {
  member = name == nullptr ? nullptr : reinterpret_cast<F>(dlsym(library, name));
}

std::string missing_entries(const Driver& found) {
  std::string missing;
#define ACCEL_CUDA_CHECK(member, arguments, cuda, hip)                     \
  if (found.member == nullptr) {                                           \
    missing += missing.empty() ? "" : ", ";                                \
    missing += found.vendor == Vendor::Cuda ? cuda : hip;                  \
  }
  ACCEL_CUDA_REQUIRED_ENTRIES(ACCEL_CUDA_CHECK)
#undef ACCEL_CUDA_CHECK
  return missing;
}

}  // namespace

const char* entry_name(Entry entry) {
  const bool cuda = driver().vendor == Vendor::Cuda;
  const char* name = nullptr;
  switch (entry) {
#define ACCEL_CUDA_CASE(member, arguments, cuda_name, hip_name) \
  case Entry::member: name = cuda ? cuda_name : hip_name; break;
    ACCEL_CUDA_REQUIRED_ENTRIES(ACCEL_CUDA_CASE)
    ACCEL_CUDA_OPTIONAL_ENTRIES(ACCEL_CUDA_CASE)
#undef ACCEL_CUDA_CASE
  }
  return name == nullptr ? "a driver entry that this vendor lacks" : name;
}

bool driver_is_open() noexcept {
  std::lock_guard<std::mutex> lock(opening);
  return opened;
}

void open_driver(Vendor vendor, const std::string& path) {
  std::lock_guard<std::mutex> lock(opening);
  if (opened) {
    const Driver& now = detail::the_driver;
    if (now.vendor == vendor && (path.empty() || path == now.library)) return;
    throw DriverMissing("this process already uses the driver " + now.library,
                        "use another driver in a process of its own");
  }
  Driver found;
  found.vendor = vendor;
  void* const library = open_library(vendor, path, found.library);
  if (library == nullptr) {
    const char* said = dlerror();
    const std::string wanted = path.empty() ? default_library(vendor) : path;
    throw DriverMissing(
        "the driver library " + wanted + " cannot be opened: " + (said ? said : "no reason given"),
        vendor == Vendor::Cuda ? "install the NVIDIA driver, or start the container with its GPUs"
                               : "install ROCm (or DTK), or add its lib folder to LD_LIBRARY_PATH");
  }
#define ACCEL_CUDA_FIND(member, arguments, cuda, hip) \
  find(library, vendor == Vendor::Cuda ? cuda : hip, found.member);
  ACCEL_CUDA_REQUIRED_ENTRIES(ACCEL_CUDA_FIND)
  ACCEL_CUDA_OPTIONAL_ENTRIES(ACCEL_CUDA_FIND)
#undef ACCEL_CUDA_FIND
  const std::string missing = missing_entries(found);
  if (!missing.empty()) {
    throw DriverMissing("the driver library " + found.library + " has no " + missing,
                        "upgrade the driver: CUDA 11.7 or ROCm 6.0 and later have them");
  }
  const Driver before = detail::the_driver;
  detail::the_driver = found;  // so that the errors below can be named
  const Result result = found.init(0);
  if (result != kSuccess) {
    const std::string name = result_name(result), cure = cure_of(result);
    const std::string call = entry_name(Entry::init);
    detail::the_driver = before;
    throw DriverMissing(call + " of " + found.library + " failed: " + name, cure);
  }
  found.driver_version(&detail::the_driver.version);
  opened = true;
}

}  // namespace accel_cuda
