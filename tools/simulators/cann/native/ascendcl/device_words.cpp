// Single words of device memory that streams write and wait for, and cache hints.
#include <chrono>
#include <cstring>
#include <thread>

#include "accel_sim/memory.hpp"
#include "accel_sim/streams.hpp"
#include "api.hpp"

using namespace ascendcl;

namespace {

enum Condition : std::uint32_t { kAtLeast = 0, kEqual = 1, kAnd = 2, kNor = 3 };

bool holds(std::uint64_t present, std::uint64_t value, std::uint32_t condition) {
  switch (condition) {
    case kAtLeast: return static_cast<std::int64_t>(present - value) >= 0;
    case kEqual: return present == value;
    case kAnd: return (present & value) != 0;
    default: return ~(present | value) != 0;
  }
}

void require_word(void* address) {
  if (reinterpret_cast<std::uintptr_t>(address) % 8 != 0) {
    throw Failure(Kind::unaligned, "the word's address is not a multiple of 8");
  }
  accel_sim::host_of(address, 8);
}

std::uint64_t* word(void* address) {
  return static_cast<std::uint64_t*>(accel_sim::host_of(address, 8));
}

}  // namespace

ACL_EXPORT int aclrtValueWrite(void* address, std::uint64_t value, std::uint32_t, void* stream) {
  return guarded("aclrtValueWrite", [&] {
    require_word(address);
    accel_sim::submit(accel_sim::stream_of(stream),
                      {"aclrtValueWrite", [=] {
                         __atomic_store_n(word(address), value, __ATOMIC_SEQ_CST);
                       }, 8});
  });
}

ACL_EXPORT int aclrtValueWait(void* address, std::uint64_t value, std::uint32_t condition,
                              void* stream) {
  return guarded("aclrtValueWait", [&] {
    if (condition > kNor) throw Failure(kInvalidParameter, "no such condition");
    require_word(address);
    accel_sim::submit(accel_sim::stream_of(stream),
                      {"aclrtValueWait", [=] {
                         while (!holds(__atomic_load_n(word(address), __ATOMIC_SEQ_CST), value,
                                       condition)) {
                           std::this_thread::sleep_for(std::chrono::microseconds(50));
                         }
                       }});
  });
}

// A hint to the cache: checked, then nothing.
ACL_EXPORT int aclrtCmoAsync(void* source, std::size_t bytes, int type, void* stream) {
  return guarded("aclrtCmoAsync", [&] {
    if (type < 0 || type > 3) throw Failure(kInvalidParameter, "no such cache operation");
    accel_sim::host_of(source, bytes);
    accel_sim::submit(accel_sim::stream_of(stream), {"aclrtCmoAsync", [] {}, bytes});
  });
}
