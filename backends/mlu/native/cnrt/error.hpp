// What CNRT says when a call fails, as C++ exceptions that know no Python.
#pragma once

#include <string>

#include "table.hpp"

namespace accel_mlu {

// Earlier work on the device had failed, or the device itself.
bool has_failed(Result code) noexcept;

// "cnrtHostMalloc failed: error 100100, ..."
std::string message_of(Result code, const std::string& call);
inline std::string message_of(Result code, Entry entry) {
  return message_of(code, entry_name(entry));
}

[[noreturn]] void throw_fault(Result code, const std::string& call);
[[noreturn]] inline void throw_fault(Result code, Entry entry) {
  throw_fault(code, entry_name(entry));
}

#define ACCEL_CNRT_CALL(member, ...)                                                   \
  do {                                                                                 \
    const ::accel_mlu::Result result_of_call = ::accel_mlu::cnrt().member(__VA_ARGS__); \
    if (result_of_call != ::accel_mlu::kSuccess) {                                     \
      ::accel_mlu::throw_fault(result_of_call, ::accel_mlu::Entry::member);            \
    }                                                                                  \
  } while (false)

}  // namespace accel_mlu
