// A binary of kernels on one device, and launches of them through ACL.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "../acl/types.hpp"

namespace accel_ascend::launch {

class KernelLibrary {
 public:
  // Loads the binary; it stays loaded. Throws AclMissing where CANN cannot, AclFault where it will
  // not, of the kernels named too.
  KernelLibrary(int device, const std::string& path, const std::vector<std::string>& kernels);

  int device() const { return device_; }
  std::int64_t cores() const { return cores_; }  // vector cores

  // Launches a kernel whose one argument is the address of `bytes`, which travel with the launch.
  void launch(const std::string& kernel, std::uint32_t cores,
              const std::vector<std::uint8_t>& bytes, std::uintptr_t stream) const;

 private:
  const int device_;
  std::int64_t cores_ = 0;
  std::map<std::string, void*> functions_;
};

}  // namespace accel_ascend::launch
