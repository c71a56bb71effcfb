// A shared object of kernels, made by cncc, and launches through its host functions.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace accel_mlu {

class KernelLibrary {
 public:
  // Loads it for good; each of `kernels` has a host function <kernel>_launch. Throws
  // accel::RuntimeMissing.
  KernelLibrary(int device, const std::string& path, const std::vector<std::string>& kernels);

  std::int64_t cores() const { return cores_; }

  // `bytes` travel with the launch. Throws accel::RuntimeFault.
  void launch(const std::string& kernel, std::uint32_t tasks,
              const std::vector<std::uint8_t>& bytes, std::uintptr_t queue) const;

 private:
  using Launch = int (*)(void* queue, unsigned tasks, const void* arguments,
                         unsigned long long bytes);

  const int device_;
  std::int64_t cores_ = 0;
  std::map<std::string, Launch> launches_;
};

}  // namespace accel_mlu
