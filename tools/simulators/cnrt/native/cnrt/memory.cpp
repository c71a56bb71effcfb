// Device memory, page-locked host memory, and what a pointer is.
#include "accel_sim/memory.hpp"

#include "api.hpp"
#include "sharing.hpp"

using namespace cnrt;

ACCEL_SIM_EXPORT cnrtRet_t cnrtMalloc(void** pointer, std::size_t bytes) {
  return guarded(__func__, [&] {
    require_outside_host_function("cnrtMalloc");
    void*& out = required(pointer, "pPtr");  // before anything is allocated
    out = accel_sim::allocate_device(accel_sim::current_device(), bytes);
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtFree(void* pointer) {
  return guarded(__func__, [&] {
    require_outside_host_function("cnrtFree");
    if (!pointer) return;
    withdraw(pointer);
    accel_sim::free_device(pointer);
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtHostMalloc(void** pointer, std::size_t bytes) {
  return guarded(__func__, [&] {
    require_outside_host_function("cnrtHostMalloc");
    void*& out = required(pointer, "pPtr");
    accel_sim::current_device_index();
    out = accel_sim::allocate_pinned(bytes);
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtFreeHost(void* pointer) {
  return guarded(__func__, [&] {
    require_outside_host_function("cnrtFreeHost");
    accel_sim::free_pinned(pointer);
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtMemGetInfo(std::size_t* free, std::size_t* total) {
  return guarded(__func__, [&] {
    const accel_sim::MemoryUse use = accel_sim::memory_use(accel_sim::current_device());
    required(free, "free") = use.total - use.used;
    required(total, "total") = use.total;
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtPointerGetAttributes(cnrtPointerAttributes_t* attributes,
                                                    const void* pointer) {
  return guarded(__func__, [&] {
    cnrtPointerAttributes_t& out = required(attributes, "attr");
    if (!pointer) throw Failure(Kind::null_pointer, "ptr is a null pointer");
    out = {};
    const accel_sim::Where where = accel_sim::where_is(pointer);
    if (!where.base) {  // nobody's: pageable memory, and device addresses that are not alive
      out.device = -1;
      return;
    }
    void* const here = const_cast<void*>(pointer);
    out.size = where.bytes;
    if (where.on_device()) {
      out.type = cnrtMemTypeDevice;
      out.device = where.device;
      out.devicePointer = here;
      out.deviceBasePointer = const_cast<void*>(where.base);
    } else {
      out.type = cnrtMemTypeHost;
      out.device = accel_sim::current_device_index();
      out.hostPointer = here;
    }
  });
}
