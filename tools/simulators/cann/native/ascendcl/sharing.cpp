// Device memory of another process.
#include "accel_sim/sharing.hpp"

#include <cstring>

#include "accel_sim/memory.hpp"
#include "api.hpp"

using namespace ascendcl;

namespace {

constexpr std::size_t kKeyBytes = 65;
constexpr std::uint64_t kOpenToAll = 0x1;

}  // namespace

ACL_EXPORT int aclrtIpcMemGetExportKey(void* pointer, std::size_t bytes, char* key,
                                       std::size_t room, std::uint64_t flags) {
  return guarded("aclrtIpcMemGetExportKey", [&] {
    required(key, "key");
    if (room < kKeyBytes) throw Failure(kInvalidParameter, "a key takes 65 bytes");
    if (flags & ~kOpenToAll) throw Failure(kInvalidParameter, "no such flags");
    const std::string text = accel_sim::export_memory(pointer, bytes, (flags & kOpenToAll) != 0);
    std::memset(key, 0, kKeyBytes);
    std::memcpy(key, text.c_str(), text.size());
  });
}

ACL_EXPORT int aclrtIpcMemSetImportPid(const char* key, std::int32_t* pids, std::size_t count) {
  return guarded("aclrtIpcMemSetImportPid", [&] {
    required(pids, "pid");
    for (std::size_t one = 0; one < count; ++one) {
      accel_sim::allow_import(&required(key, "key"), pids[one]);
    }
  });
}

ACL_EXPORT int aclrtIpcMemImportByKey(void** pointer, const char* key, std::uint64_t flags) {
  return guarded("aclrtIpcMemImportByKey", [&] {
    void*& out = required(pointer, "devPtr");
    if (flags & ~std::uint64_t{1}) throw Failure(kInvalidParameter, "no such flags");
    accel_sim::current_device_index();
    out = accel_sim::import_memory(&required(key, "key"));
  });
}

ACL_EXPORT int aclrtIpcMemClose(const char* key) {
  return guarded("aclrtIpcMemClose", [&] { accel_sim::close_memory(&required(key, "key")); });
}
