// A rule that a kernel broke, as an exception.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <stdexcept>

namespace accel_kernels {

class Broken : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

[[noreturn]] __attribute__((format(printf, 1, 2))) inline void broken(const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  throw Broken(text);
}

}  // namespace accel_kernels
