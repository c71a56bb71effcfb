// Device memory, page-locked host memory, and what a pointer is.
#include <cstring>

#include "accel_sim/memory.hpp"
#include "accel_sim/modes.hpp"
#include "accel_sim/streams.hpp"
#include "api.hpp"

using namespace ascendcl;

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::uint32_t kMapped = 0x2;
constexpr std::uint32_t kPinned = 0x10000000;

enum LocationType : std::uint32_t { kHost = 0, kDevice = 1, kUnregistered = 2 };

struct PointerAttributes {
  std::uint32_t id;
  std::uint32_t type;
  std::uint32_t page_size;
  std::uint32_t reserved[4];
};

struct UsageInfo {
  char name[32];
  std::uint64_t current;
  std::uint64_t peak;
  std::size_t reserved[8];
};

void require_outside_host_function(const char* name) {
  if (accel_sim::modes().strict && accel_sim::inside_host_function()) {
    throw Failure(Kind::invalid_argument, std::string(name) + " inside a host function");
  }
}

int allocate(const char* name, void** pointer, std::size_t bytes) {
  return guarded(name, [&] {
    void*& out = required(pointer, "devPtr");
    require_outside_host_function(name);
    out = accel_sim::allocate_device(accel_sim::current_device(), bytes);
  });
}

int allocate_host(const char* name, void** pointer, std::size_t bytes) {
  return guarded(name, [&] {
    void*& out = required(pointer, "hostPtr");
    require_outside_host_function(name);
    accel_sim::current_device_index();
    out = accel_sim::allocate_pinned(bytes);
  });
}

}  // namespace

ACL_EXPORT int aclrtMalloc(void** pointer, std::size_t bytes, int) {
  return allocate("aclrtMalloc", pointer, bytes);
}

ACL_EXPORT int aclrtMallocAlign32(void** pointer, std::size_t bytes, int) {
  return allocate("aclrtMallocAlign32", pointer, bytes);
}

ACL_EXPORT int aclrtMallocCached(void** pointer, std::size_t bytes, int) {
  return allocate("aclrtMallocCached", pointer, bytes);
}

ACL_EXPORT int aclrtMallocWithCfg(void** pointer, std::size_t bytes, int, void*) {
  return allocate("aclrtMallocWithCfg", pointer, bytes);
}

ACL_EXPORT int aclrtFree(void* pointer) {
  return guarded("aclrtFree", [&] { accel_sim::free_device(pointer); });
}

ACL_EXPORT int aclrtMallocHost(void** pointer, std::size_t bytes) {
  return allocate_host("aclrtMallocHost", pointer, bytes);
}

ACL_EXPORT int aclrtMallocHostWithCfg(void** pointer, std::uint64_t bytes, void*) {
  return allocate_host("aclrtMallocHostWithCfg", pointer, bytes);
}

ACL_EXPORT int aclrtFreeHost(void* pointer) {
  return guarded("aclrtFreeHost", [&] { accel_sim::free_pinned(pointer); });
}

ACL_EXPORT int aclrtFreeWithDevSync(void* pointer) {
  return guarded("aclrtFreeWithDevSync", [&] {
    accel_sim::synchronize_device(accel_sim::current_device());
    accel_sim::free_device(pointer);
  });
}

ACL_EXPORT int aclrtFreeHostWithDevSync(void* pointer) {
  return guarded("aclrtFreeHostWithDevSync", [&] {
    accel_sim::synchronize_device(accel_sim::current_device());
    accel_sim::free_pinned(pointer);
  });
}

ACL_EXPORT int aclrtHostRegister(void* pointer, std::uint64_t bytes, int type, void** device) {
  return guarded("aclrtHostRegister", [&] {
    if (type != 0) {
      throw Failure(Kind::not_simulated, "host registration of type " + std::to_string(type));
    }
    void*& out = required(device, "devPtr");
    accel_sim::current_device_index();
    accel_sim::register_host(pointer, bytes, true);
    out = accel_sim::device_pointer_of_host(pointer);
  });
}

ACL_EXPORT int aclrtHostRegisterV2(void* pointer, std::uint64_t bytes, std::uint32_t flag) {
  return guarded("aclrtHostRegisterV2", [&] {
    require_release(805, "aclrtHostRegisterV2");
    if (!pose().is_910b()) {
      throw Failure(Kind::not_supported, "host registration needs an A2 or A3 product, not " +
                                             pose().soc);
    }
    if (flag == 0 || (flag & ~(kMapped | kPinned)) != 0) {
      throw Failure(Kind::invalid_argument,
                    "flag " + std::to_string(flag) + " is not MAPPED, PINNED or both");
    }
    if (reinterpret_cast<std::uintptr_t>(pointer) % kPage != 0) {
      throw Failure(Kind::invalid_argument, "memory to register begins at a multiple of 4096");
    }
    accel_sim::current_device_index();
    accel_sim::register_host(pointer, bytes, (flag & kMapped) != 0);
  });
}

ACL_EXPORT int aclrtHostUnregister(void* pointer) {
  return guarded("aclrtHostUnregister", [&] { accel_sim::unregister_host(pointer); });
}

ACL_EXPORT int aclrtHostGetDevicePointer(void* pointer, void** device, std::uint32_t flag) {
  return guarded("aclrtHostGetDevicePointer", [&] {
    require_release(805, "aclrtHostGetDevicePointer");
    if (flag != 0) throw Failure(Kind::invalid_argument, "flag must be 0");
    required(device, "pDevice") = accel_sim::device_pointer_of_host(pointer);
  });
}

ACL_EXPORT int aclrtPointerGetAttributes(const void* pointer, PointerAttributes* attributes) {
  return guarded("aclrtPointerGetAttributes", [&] {
    require_release(805, "aclrtPointerGetAttributes");
    if (!pointer) throw Failure(kInvalidParameter, "ptr is a null pointer");
    PointerAttributes& out = required(attributes, "attributes");
    std::memset(&out, 0, sizeof out);
    const accel_sim::Where where = accel_sim::where_is(pointer);
    // Addresses of device memory that is not alive are nobody's, like pageable ones.
    const bool known = where.base != nullptr;
    out.type = !known ? kUnregistered : where.on_device() ? kDevice : kHost;
    out.id = where.on_device() && known ? static_cast<std::uint32_t>(where.device) : 0;
    out.page_size = where.on_device() ? 2u << 20 : static_cast<std::uint32_t>(kPage);
  });
}

ACL_EXPORT int aclrtGetMemInfo(int, std::size_t* free, std::size_t* total) {
  return guarded("aclrtGetMemInfo", [&] {
    const accel_sim::MemoryUse use = accel_sim::memory_use(accel_sim::current_device());
    required(free, "free") = use.total - use.used;
    required(total, "total") = use.total;
  });
}

ACL_EXPORT int aclrtGetMemUsageInfo(std::int32_t device, UsageInfo* info, std::size_t room,
                                    std::size_t* count) {
  return guarded("aclrtGetMemUsageInfo", [&] {
    const accel_sim::MemoryUse use = accel_sim::memory_use(accel_sim::device_at(device));
    if (room == 0) throw Failure(kInvalidParameter, "inputNum is 0");
    UsageInfo& out = required(info, "memUsageInfo");
    std::memset(&out, 0, sizeof out);
    std::strcpy(out.name, "RUNTIME");
    out.current = use.used;
    out.peak = use.peak;
    required(count, "outputNum") = 1;
  });
}

ACL_EXPORT int aclrtMemGetAddressRange(void* pointer, void** base, std::size_t* bytes) {
  return guarded("aclrtMemGetAddressRange", [&] {
    const accel_sim::Where where = accel_sim::where_is(pointer);
    if (!where.base) throw Failure(Kind::invalid_argument, "not memory of the runtime");
    required(base, "pbase") = const_cast<void*>(where.base);
    required(bytes, "psize") = where.bytes;
  });
}
