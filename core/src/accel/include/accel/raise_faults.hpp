// Raising the accel.errors classes that C++ faults are. The GIL must be held.
#pragma once

#include "errors.hpp"
#include "fault.hpp"

namespace accel {

namespace detail {

inline const char* class_of(ArgumentFault::Kind kind) {
  switch (kind) {
    case ArgumentFault::Kind::Argument: return "ArgumentError";
    case ArgumentFault::Kind::Shape: return "ShapeError";
    case ArgumentFault::Kind::Size: return "SizeError";
    case ArgumentFault::Kind::Device: return "DeviceError";
    case ArgumentFault::Kind::Overlap: return "OverlapError";
    case ArgumentFault::Kind::Freed: return "FreedError";
    case ArgumentFault::Kind::Codec: return "CodecError";
  }
  return "ArgumentError";
}

inline const char* class_of(Fault::Kind kind) {
  switch (kind) {
    case Fault::Kind::State: return "StateError";
    case Fault::Kind::NotReady: return "NotReadyError";
    case Fault::Kind::OutOfMemory: return "OutOfMemoryError";
    case Fault::Kind::Async: return "AsyncError";
  }
  return "AccelError";
}

}  // namespace detail

[[noreturn]] inline void raise(const Fault& fault) {
  fail_message(detail::class_of(fault.kind), fault.what());
}

[[noreturn]] inline void raise(const ArgumentFault& fault) {
  fail(detail::class_of(fault.kind), fault.argument, fault.expected, fault.given, fault.cure);
}

}  // namespace accel
