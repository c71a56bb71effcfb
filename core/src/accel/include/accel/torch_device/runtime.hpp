// The calls of a vendor's runtime library (ACL, CNRT) that streams' helpers, copies and pinned
// memory are made of. A plugin's native module derives one class, and defines `runtime()`:
//
//   namespace accel { const DeviceRuntime& runtime() { return mine; } }
//
// Everything else in this folder is written on it, so that vendors differ in that class alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include "../page_copies.hpp"

namespace accel {

using StreamHandle = void*;
using EventHandle = void*;
using HostFunction = void (*)(void*);

// A call failed, as C++ knows it; `translate_faults` makes Python's exception of it.
class RuntimeFault : public std::runtime_error {
 public:
  enum class Kind { Other, OutOfMemory, DeviceFailed };
  RuntimeFault(Kind kind_, const std::string& what, std::string call_, int code_,
               std::string cure_)
      : std::runtime_error(what),
        kind(kind_),
        call(std::move(call_)),
        code(code_),
        cure(std::move(cure_)) {}

  const Kind kind;
  const std::string call;
  const int code;
  const std::string cure;
};

// The library or one of its entries is not there.
class RuntimeMissing : public std::runtime_error {
 public:
  RuntimeMissing(const std::string& what, std::string cure_)
      : std::runtime_error(what), cure(std::move(cure_)) {}
  const std::string cure;
};

// Where memory lies.
struct MemoryPlace {
  enum class Kind { Device, Pinned, Pageable };
  Kind kind = Kind::Device;
  int device = -1;

  bool on_host() const { return kind != Kind::Device; }
  bool pageable() const { return kind == Kind::Pageable; }
};

struct FlatCopy {
  std::uintptr_t dst, src;
  std::size_t nbytes;
  MemoryPlace dst_place, src_place;
};

// What the library says of an address.
struct FoundMemory {
  enum class Kind { NotSaid, Unknown, Host, Device };
  Kind kind = Kind::NotSaid;
  int device = -1;
};

// Calls throw RuntimeFault where nothing else is said. For all that takes a stream, its device is
// the thread's current one (OnDevice).
class DeviceRuntime {
 public:
  struct Names {
    const char* device;   // torch's type: "npu"
    const char* backend;  // "ascend"
    const char* package;  // with a module `errors`: "accel_ascend"
    const char* error;    // the class there of failed calls: "AclError"
    const char* api;      // "ACL"
  };

  virtual ~DeviceRuntime() = default;
  virtual const Names& names() const = 0;

  // --- devices
  virtual int device_count() const = 0;
  virtual int current_device() const noexcept = 0;  // -1: this thread has none
  virtual void set_device(int index) const = 0;
  virtual bool reaches(int from, int to) const = 0;  // copies between two devices

  // --- streams and their events
  virtual void synchronize(StreamHandle stream) const = 0;
  virtual EventHandle new_event() const = 0;  // null: there are none
  virtual bool record(EventHandle event, StreamHandle stream) const noexcept = 0;
  virtual bool complete(EventHandle event) const noexcept = 0;  // failed ones are
  virtual bool calls_host() const noexcept = 0;
  virtual void call_host(StreamHandle stream, HostFunction function, void* argument) const = 0;
  // The program ends: no further calls come, and threads of this module that serve them end.
  virtual void end_calls() const {}
  virtual std::string why_no_calls() const = 0;  // with the cure, for warnings

  // --- copies, asynchronous; never of pageable memory, never from host to host
  virtual void copy(const FlatCopy& copy, StreamHandle stream) const = 0;
  virtual bool copies_rows(const MemoryPlace& dst, const MemoryPlace& src) const noexcept = 0;
  virtual void copy_rows(const PitchedCopy& copy, const MemoryPlace& dst, const MemoryPlace& src,
                         StreamHandle stream) const = 0;
  virtual std::string why_no_rows(bool on_devices) const = 0;
  // Copies between host and devices that one call takes at most; 0: there is no such call.
  virtual std::size_t most_in_batch() const noexcept { return 0; }
  // False, with nothing given to the stream, where this device does not take batches.
  virtual bool copy_batch(const FlatCopy*, std::size_t, StreamHandle) const { return false; }
  // Empty where a call a copy is nothing that a newer version would do better.
  virtual std::string why_no_batch() const { return {}; }
  virtual void fill(std::uintptr_t dst, std::size_t nbytes, std::uint8_t value,
                    StreamHandle stream) const = 0;

  // --- memory
  // Null with the reason in `why`; throws where the device has failed.
  virtual void* allocate_host(std::size_t nbytes, std::string& why) const = 0;
  virtual void free_host(void* base) const noexcept = 0;
  virtual FoundMemory find(std::uintptr_t at) const = 0;
  // Whether the owner of a raw pointer is a buffer of this module's pool that was freed.
  virtual bool is_freed(void* owner) const = 0;
};

// The module's own.
const DeviceRuntime& runtime();

// The thread's current device, for the length of a call. What was current is restored: a thread
// that had none is given device 0, which is what torch takes then.
class OnDevice {
 public:
  explicit OnDevice(int index) {
    const int now = runtime().current_device();
    if (now == index) return;
    runtime().set_device(index);
    before_ = now < 0 ? 0 : now;
    changed_ = before_ != index;
  }
  ~OnDevice() {
    if (!changed_) return;
    try {
      runtime().set_device(before_);
    } catch (const RuntimeFault&) {
      // The device is lost; the next call says so.
    }
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  int before_ = 0;
  bool changed_ = false;
};

}  // namespace accel
