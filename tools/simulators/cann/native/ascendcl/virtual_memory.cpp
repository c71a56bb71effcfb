// Reserved addresses and physical memory, as expandable segments use them.
#include "accel_sim/virtual_memory.hpp"

#include "api.hpp"

using namespace ascendcl;
using accel_sim::Physical;

namespace {

struct PhysicalProperties {
  int handle_type;
  int allocation_type;
  int memory_attribute;
  std::uint32_t location_id;
  std::uint32_t location_type;
  std::uint64_t reserved;
};

constexpr std::uint32_t kHost = 0;
constexpr std::uint32_t kDevice = 1;
constexpr std::uint32_t kHostNuma = 4;

}  // namespace

ACL_EXPORT int aclrtReserveMemAddress(void** address, std::size_t bytes, std::size_t alignment,
                                      void* wanted, std::uint64_t) {
  return guarded("aclrtReserveMemAddress", [&] {
    void*& out = required(address, "virPtr");
    if (alignment != 0) throw Failure(Kind::invalid_argument, "alignment must be 0");
    // A wanted address is a wish that may be passed over; torch_npu wishes none.
    (void)wanted;
    out = accel_sim::reserve_addresses(bytes);
  });
}

ACL_EXPORT int aclrtReleaseMemAddress(void* address) {
  return guarded("aclrtReleaseMemAddress", [&] { accel_sim::release_addresses(address); });
}

ACL_EXPORT int aclrtMallocPhysical(Physical** handle, std::size_t bytes,
                                   const PhysicalProperties* properties, std::uint64_t) {
  return guarded("aclrtMallocPhysical", [&] {
    Physical*& out = required(handle, "handle");
    const PhysicalProperties& given = required(properties, "prop");
    if (given.location_type == kHost || given.location_type == kHostNuma) {
      require_release(805, "physical memory of the host");
      out = accel_sim::make_physical(nullptr, bytes);
    } else if (given.location_type == kDevice) {
      out = accel_sim::make_physical(&accel_sim::device_at(static_cast<int>(given.location_id)),
                                     bytes);
    } else {
      throw Failure(Kind::invalid_argument, "no such location of physical memory");
    }
  });
}

ACL_EXPORT int aclrtFreePhysical(Physical* handle) {
  return guarded("aclrtFreePhysical", [&] { accel_sim::free_physical(handle); });
}

ACL_EXPORT int aclrtMapMem(void* address, std::size_t bytes, std::size_t offset, Physical* handle,
                           std::uint64_t) {
  return guarded("aclrtMapMem",
                 [&] { accel_sim::map_physical(address, bytes, offset, handle); });
}

ACL_EXPORT int aclrtUnmapMem(void* address) {
  return guarded("aclrtUnmapMem", [&] { accel_sim::unmap_physical(address); });
}

ACL_EXPORT int aclrtMemGetAllocationGranularity(PhysicalProperties* properties, int,
                                                std::size_t* granularity) {
  return guarded("aclrtMemGetAllocationGranularity", [&] {
    required(properties, "prop");
    required(granularity, "granularity") = accel_sim::kGranularity;
  });
}

ACL_EXPORT int aclrtMemExportToShareableHandle(Physical* handle, int, std::uint64_t flags,
                                               std::uint64_t* shareable) {
  return guarded("aclrtMemExportToShareableHandle", [&] {
    required(shareable, "shareableHandle") = accel_sim::export_physical(handle, (flags & 1) != 0);
  });
}

ACL_EXPORT int aclrtMemImportFromShareableHandle(std::uint64_t shareable, std::int32_t device,
                                                 Physical** handle) {
  return guarded("aclrtMemImportFromShareableHandle", [&] {
    required(handle, "handle") =
        accel_sim::import_physical(shareable, accel_sim::device_at(device));
  });
}

ACL_EXPORT int aclrtMemSetPidToShareableHandle(std::uint64_t shareable, std::int32_t* pids,
                                               std::size_t count) {
  return guarded("aclrtMemSetPidToShareableHandle", [&] {
    required(pids, "pid");
    for (std::size_t one = 0; one < count; ++one) {
      accel_sim::allow_physical_import(shareable, pids[one]);
    }
  });
}
