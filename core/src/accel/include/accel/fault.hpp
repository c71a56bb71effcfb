// Errors of the runtime, free of Python. The bindings turn each kind into its accel.errors class.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

namespace accel {

// Anything but an argument error; what() is the whole message.
class Fault : public std::runtime_error {
 public:
  enum class Kind { State, NotReady, OutOfMemory, Async };
  Fault(Kind kind, const std::string& message) : std::runtime_error(message), kind(kind) {}
  const Kind kind;
};

// A wrong argument, with the four parts that accel.errors.ArgumentError takes.
class ArgumentFault : public std::runtime_error {
 public:
  enum class Kind { Argument, Shape, Size, Device, Overlap, Freed, Codec };
  ArgumentFault(Kind kind, std::string argument, std::string expected, std::string given,
                std::string cure = "")
      : std::runtime_error(argument + ": expected " + expected + ", given " + given),
        kind(kind),
        argument(std::move(argument)),
        expected(std::move(expected)),
        given(std::move(given)),
        cure(std::move(cure)) {}
  const Kind kind;
  const std::string argument, expected, given, cure;
};

// Work that ran on a stream failed: thrown by synchronisation, holds the first failure.
class WorkFailed : public std::runtime_error {
 public:
  WorkFailed(std::exception_ptr first, std::size_t count)
      : std::runtime_error("work on the stream failed"), first(std::move(first)), count(count) {}
  const std::exception_ptr first;
  const std::size_t count;
};

}  // namespace accel
