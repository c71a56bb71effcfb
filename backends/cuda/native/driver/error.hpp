// What the driver says when a call fails, as C++ exceptions that know no Python.
#pragma once

#include <stdexcept>
#include <string>

#include "table.hpp"

namespace accel_cuda {

// The library or one of its entries is not there, or it cannot be initialised.
class DriverMissing : public std::runtime_error {
 public:
  DriverMissing(const std::string& what, std::string cure_)
      : std::runtime_error(what), cure(std::move(cure_)) {}
  const std::string cure;
};

// A driver call failed.
class DriverFault : public std::runtime_error {
 public:
  DriverFault(Result code_, Entry entry_);

  const Result code;
  const Entry entry;
  const std::string call;  // "cuEventRecord"
  const std::string name;  // "CUDA_ERROR_INVALID_VALUE"
  const std::string text;  // "invalid argument"
};

// The call failed because an earlier kernel did, and the context is lost with all its memory.
bool is_sticky(Result code) noexcept;

// What to do about it; empty when there is nothing to say.
std::string cure_of(Result code);

// "CUDA_ERROR_NOT_READY"; a number when the driver has no name for it.
std::string result_name(Result code);

[[noreturn]] void throw_driver_fault(Result code, Entry entry);

inline void check(Result code, Entry entry) {
  if (code != kSuccess) throw_driver_fault(code, entry);
}

#define ACCEL_CUDA_CALL(member, ...) \
  ::accel_cuda::check(::accel_cuda::driver().member(__VA_ARGS__), ::accel_cuda::Entry::member)

}  // namespace accel_cuda
