// What ACL says when a call fails, as C++ exceptions that know no Python.
#pragma once

#include <string>

#include "table.hpp"

namespace accel_ascend {

// Earlier work on the device had failed, or the device itself: the call was not at fault.
bool is_device_error(Result code) noexcept;

// "aclrtMallocHost failed: error 207001, ...", with what ACL says about the last error of this
// thread.
std::string message_of(Result code, Entry entry);

[[noreturn]] void throw_acl_fault(Result code, Entry entry);

inline void check(Result code, Entry entry) {
  if (code != kSuccess) throw_acl_fault(code, entry);
}

#define ACCEL_ACL_CALL(member, ...)                                     \
  ::accel_ascend::check(::accel_ascend::acl().member(__VA_ARGS__),      \
                        ::accel_ascend::Entry::member)

}  // namespace accel_ascend
