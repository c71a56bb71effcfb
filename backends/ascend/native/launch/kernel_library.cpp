#include "kernel_library.hpp"

#include <cstring>

#include "../acl/device.hpp"

namespace accel_ascend::launch {
namespace {

constexpr int kVectorCores = 201;  // of aclrtGetDeviceInfo
constexpr int kAiCores = 101;
constexpr std::int64_t kFewestCores = 8;  // where the device does not say

const char* missing_entry() {
  const Acl& all = acl();
  const std::pair<const void*, const char*> needed[] = {
      {reinterpret_cast<const void*>(all.binary_load), "aclrtBinaryLoadFromFile"},
      {reinterpret_cast<const void*>(all.binary_function), "aclrtBinaryGetFunction"},
      {reinterpret_cast<const void*>(all.args_init), "aclrtKernelArgsInit"},
      {reinterpret_cast<const void*>(all.args_place_holder), "aclrtKernelArgsAppendPlaceHolder"},
      {reinterpret_cast<const void*>(all.args_buffer), "aclrtKernelArgsGetPlaceHolderBuffer"},
      {reinterpret_cast<const void*>(all.args_finalize), "aclrtKernelArgsFinalize"},
      {reinterpret_cast<const void*>(all.launch_kernel), "aclrtLaunchKernelWithConfig"}};
  for (const auto& [entry, name] : needed) {
    if (entry == nullptr) return name;
  }
  return nullptr;
}

std::int64_t core_count(int device) {
  if (acl().device_info == nullptr) return kFewestCores;
  for (const int attribute : {kVectorCores, kAiCores}) {
    std::int64_t count = 0;
    const Result asked =
        acl().device_info(static_cast<std::uint32_t>(device), attribute, &count);
    if (asked == kSuccess && count > 0) return count;
  }
  return kFewestCores;
}

}  // namespace

KernelLibrary::KernelLibrary(int device, const std::string& path,
                             const std::vector<std::string>& kernels)
    : device_(device) {
  if (const char* const name = missing_entry()) {
    throw AclMissing(std::string("this CANN has no ") + name + ", which launches AscendC kernels",
                     "upgrade CANN to 8.3 or later");
  }
  Current current(device);
  void* binary = nullptr;
  ACCEL_ACL_CALL(binary_load, path.c_str(), nullptr, &binary);
  for (const std::string& name : kernels) {
    ACCEL_ACL_CALL(binary_function, binary, name.c_str(), &functions_[name]);
  }
  cores_ = core_count(device);
}

void KernelLibrary::launch(const std::string& kernel, std::uint32_t cores,
                           const std::vector<std::uint8_t>& bytes, std::uintptr_t stream) const {
  void* const function = functions_.at(kernel);
  Current current(device_);
  void *arguments = nullptr, *parameter = nullptr, *buffer = nullptr;
  ACCEL_ACL_CALL(args_init, function, &arguments);
  ACCEL_ACL_CALL(args_place_holder, arguments, &parameter);
  ACCEL_ACL_CALL(args_buffer, arguments, parameter, bytes.size(), &buffer);
  std::memcpy(buffer, bytes.data(), bytes.size());
  ACCEL_ACL_CALL(args_finalize, arguments);
  ACCEL_ACL_CALL(launch_kernel, function, cores, reinterpret_cast<StreamHandle>(stream), nullptr,
                 arguments, nullptr);
}

}  // namespace accel_ascend::launch
