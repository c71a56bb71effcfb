// What ACL says when a call fails, as C++ exceptions that know no Python.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "table.hpp"

namespace accel_ascend {

// The library or one of its entries is not there.
class AclMissing : public std::runtime_error {
 public:
  AclMissing(const std::string& what, std::string cure_)
      : std::runtime_error(what), cure(std::move(cure_)) {}
  const std::string cure;
};

// A call failed. `text` is what ACL says about the last error of this thread.
class AclFault : public std::runtime_error {
 public:
  AclFault(Result code_, Entry entry_);

  const Result code;
  const Entry entry;
  const std::string call;
};

// The call was refused because earlier work on the device had failed.
bool is_device_error(Result code) noexcept;
bool is_out_of_memory(Result code) noexcept;

// What to do about it; empty when there is nothing to say.
std::string cure_of(Result code);

[[noreturn]] void throw_acl_fault(Result code, Entry entry);

inline void check(Result code, Entry entry) {
  if (code != kSuccess) throw_acl_fault(code, entry);
}

#define ACCEL_ACL_CALL(member, ...)                                     \
  ::accel_ascend::check(::accel_ascend::acl().member(__VA_ARGS__),      \
                        ::accel_ascend::Entry::member)

}  // namespace accel_ascend
