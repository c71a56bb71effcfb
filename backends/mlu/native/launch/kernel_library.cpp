#include "kernel_library.hpp"

#include <dlfcn.h>

#include "../cnrt/error.hpp"

namespace accel_mlu {
namespace {

constexpr int kClusters = 0x205;        // of cnrtDeviceGetAttribute
constexpr int kCoresOfCluster = 0x206;
constexpr std::int64_t kFewestCores = 4;  // where the device does not say

std::int64_t core_count(int device) {
  if (cnrt().device_attribute == nullptr) return kFewestCores;
  int clusters = 0, cores = 0;
  if (cnrt().device_attribute(&clusters, kClusters, device) != kSuccess ||
      cnrt().device_attribute(&cores, kCoresOfCluster, device) != kSuccess || clusters < 1 ||
      cores < 1) {
    return kFewestCores;
  }
  return std::int64_t{clusters} * cores;
}

[[noreturn]] void refuse(const std::string& why) {
  throw accel::RuntimeMissing(why, "remove the file and build it again");
}

}  // namespace

KernelLibrary::KernelLibrary(int device, const std::string& path,
                             const std::vector<std::string>& kernels)
    : device_(device), cores_(core_count(device)) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const why = dlerror();
    refuse(why == nullptr ? "it is no shared object" : why);
  }
  for (const std::string& name : kernels) {
    void* const found = dlsym(library, (name + "_launch").c_str());
    if (found == nullptr) refuse("it has no function " + name + "_launch");
    launches_[name] = reinterpret_cast<Launch>(found);
  }
}

void KernelLibrary::launch(const std::string& kernel, std::uint32_t tasks,
                           const std::vector<std::uint8_t>& bytes, std::uintptr_t queue) const {
  accel::OnDevice current(device_);
  const Launch launch = launches_.at(kernel);
  const Result code = launch(reinterpret_cast<void*>(queue), tasks, bytes.data(), bytes.size());
  if (code != kSuccess) throw_fault(code, kernel + "_launch");
}

}  // namespace accel_mlu
