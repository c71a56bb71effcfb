#include "runtime.hpp"

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "callback_thread.hpp"
#include "error.hpp"

namespace accel {

const DeviceRuntime& runtime() {
  static const auto* const only = new accel_ascend::AclRuntime;
  return *only;
}

}  // namespace accel

namespace accel_ascend {
namespace {

using accel::FlatCopy;
using accel::MemoryPlace;

void* pointer(std::uintptr_t at) { return reinterpret_cast<void*>(at); }

CopyKind kind_of(const MemoryPlace& dst, const MemoryPlace& src) {
  if (dst.on_host()) return src.on_host() ? kHostToHost : kDeviceToHost;
  return src.on_host() ? kHostToDevice : kDeviceToDevice;
}

// Peers reach each other's memory once that was switched on, either way.
void connect(int a, int b) {
  if (a == b || acl().enable_peer_access == nullptr) return;
  static std::mutex mutex;
  static auto* const connected = new std::set<std::pair<int, int>>;
  std::lock_guard<std::mutex> lock(mutex);
  if (!connected->insert(std::minmax(a, b)).second) return;
  for (const auto& [from, to] : {std::pair{a, b}, std::pair{b, a}}) {
    accel::OnDevice current(from);
    // What fails here shows in the copy; torch_npu may have done it already.
    acl().enable_peer_access(to, 0);
  }
}

Location location_of(const MemoryPlace& place) {
  if (place.on_host()) return {0, kLocationHost};
  return {static_cast<std::uint32_t>(place.device), kLocationDevice};
}

bool same_way(const FlatCopy& a, const FlatCopy& b) {
  return a.dst_place.device == b.dst_place.device && a.src_place.device == b.src_place.device;
}

}  // namespace

const accel::DeviceRuntime::Names& AclRuntime::names() const {
  static const Names all{"npu", "ascend", "accel_ascend", "AclError", "ACL"};
  return all;
}

// --- devices

int AclRuntime::device_count() const {
  std::uint32_t count = 0;
  ACCEL_ACL_CALL(get_device_count, &count);
  return static_cast<int>(count);
}

int AclRuntime::current_device() const noexcept {
  std::int32_t now = -1;
  return acl().get_device(&now) == kSuccess ? now : -1;
}

void AclRuntime::set_device(int index) const { ACCEL_ACL_CALL(set_device, index); }

bool AclRuntime::reaches(int from, int to) const {
  if (acl().can_access_peer == nullptr) return true;  // older CANN does not say
  std::int32_t possible = 0;
  return acl().can_access_peer(&possible, from, to) == kSuccess && possible != 0;
}

// --- streams and their events

void AclRuntime::synchronize(StreamHandle stream) const {
  ACCEL_ACL_CALL(synchronize_stream, stream);
}

EventHandle AclRuntime::new_event() const {
  EventHandle event = nullptr;
  if (acl().create_event_ex != nullptr) {
    ACCEL_ACL_CALL(create_event_ex, &event, kEventSync);
  } else if (acl().create_event != nullptr) {
    ACCEL_ACL_CALL(create_event, &event, kEventSync);
  }
  return event;
}

bool AclRuntime::record(EventHandle event, StreamHandle stream) const noexcept {
  return acl().record_event(event, stream) == kSuccess;
}

bool AclRuntime::complete(EventHandle event) const noexcept {
  int status = kRecordComplete;
  return acl().query_event_status(event, &status) != kSuccess || status == kRecordComplete;
}

bool AclRuntime::calls_host() const noexcept {
  return acl().launch_host_func != nullptr || can_serve_callbacks();
}

void AclRuntime::call_host(StreamHandle stream, HostFunction function, void* argument) const {
  if (acl().launch_host_func == nullptr) return launch_served(stream, function, argument);
  ACCEL_ACL_CALL(launch_host_func, stream, function, argument);
}

void AclRuntime::end_calls() const { stop_serving(); }

std::string AclRuntime::why_no_calls() const {
  return "this CANN has neither aclrtLaunchHostFunc nor aclrtLaunchCallback. Cure: upgrade CANN";
}

// --- copies

void AclRuntime::copy(const FlatCopy& copy, StreamHandle stream) const {
  const CopyKind kind = kind_of(copy.dst_place, copy.src_place);
  if (kind == kDeviceToDevice) {
    const int here = current_device();
    connect(copy.dst_place.device, copy.src_place.device);
    connect(copy.dst_place.device, here);
    connect(copy.src_place.device, here);
  }
  ACCEL_ACL_CALL(memcpy_async, pointer(copy.dst), copy.nbytes, pointer(copy.src), copy.nbytes,
                 kind, stream);
}

bool AclRuntime::copies_rows(const MemoryPlace& dst, const MemoryPlace& src) const noexcept {
  return acl().memcpy_2d_async != nullptr && dst.on_host() != src.on_host();
}

void AclRuntime::copy_rows(const accel::PitchedCopy& copy, const MemoryPlace& dst,
                           const MemoryPlace& src, StreamHandle stream) const {
  ACCEL_ACL_CALL(memcpy_2d_async, pointer(copy.dst), copy.dst_pitch, pointer(copy.src),
                 copy.src_pitch, copy.width, copy.height, kind_of(dst, src), stream);
}

std::string AclRuntime::why_no_rows(bool on_devices) const {
  return on_devices ? "ACL has no pitched copy between device memories. Cure: copy tensors with "
                      "strides, which an operator of the device takes"
                    : "this CANN has no aclrtMemcpy2dAsync. Cure: upgrade CANN";
}

std::size_t AclRuntime::most_in_batch() const noexcept {
  constexpr std::size_t kMostInOneCall = 4096;
  return acl().memcpy_batch_async == nullptr ? 0 : kMostInOneCall;
}

bool AclRuntime::copy_batch(const FlatCopy* copies, std::size_t count, StreamHandle stream) const {
  std::vector<void*> dsts(count), srcs(count);
  std::vector<std::size_t> sizes(count), first;
  std::vector<BatchAttributes> attributes;
  for (std::size_t i = 0; i < count; ++i) {
    dsts[i] = pointer(copies[i].dst);
    srcs[i] = pointer(copies[i].src);
    sizes[i] = copies[i].nbytes;
    if (i > 0 && same_way(copies[i - 1], copies[i])) continue;
    BatchAttributes attribute{};
    attribute.dst = location_of(copies[i].dst_place);
    attribute.src = location_of(copies[i].src_place);
    attributes.push_back(attribute);
    first.push_back(i);
  }
  std::vector<std::size_t> room = sizes;
  std::size_t failed = SIZE_MAX;
  const Result result = acl().memcpy_batch_async(dsts.data(), room.data(), srcs.data(),
                                                 sizes.data(), count, attributes.data(),
                                                 first.data(), attributes.size(), &failed, stream);
  if (result == kNotSupported || result == kApiNotSupported) return false;
  check(result, Entry::memcpy_batch_async);
  return true;
}

std::string AclRuntime::why_no_batch() const {
  return acl().memcpy_batch_async == nullptr
             ? "CANN " + cann_version() +
                   " has no aclrtMemcpyBatchAsync. Cure: CANN 8.5 or newer"
             : "this chip or driver refuses aclrtMemcpyBatchAsync. Cure: upgrade the driver";
}

void AclRuntime::fill(std::uintptr_t dst, std::size_t nbytes, std::uint8_t value,
                      StreamHandle stream) const {
  ACCEL_ACL_CALL(memset_async, pointer(dst), nbytes, value, nbytes, stream);
}

// --- memory

void* AclRuntime::allocate_host(std::size_t nbytes, std::string& why) const {
  void* base = nullptr;
  const Result result = acl().malloc_host(&base, nbytes);
  if (result == kSuccess) return base;
  if (is_device_error(result)) throw_acl_fault(result, Entry::malloc_host);
  why = message_of(result, Entry::malloc_host);
  return nullptr;
}

void AclRuntime::free_host(void* base) const noexcept { acl().free_host(base); }

accel::FoundMemory AclRuntime::find(std::uintptr_t at) const {
  using Kind = accel::FoundMemory::Kind;
  if (acl().pointer_attributes == nullptr) return {};
  PointerAttributes found{};
  const Result result = acl().pointer_attributes(pointer(at), &found);
  if (result == kNotSupported || result == kApiNotSupported) return {};
  if (result != kSuccess) return {Kind::Unknown, -1};
  if (found.location.type != kLocationDevice) return {Kind::Host, -1};
  return {Kind::Device, static_cast<int>(found.location.id)};
}

bool AclRuntime::is_freed(void* owner) const {
  return accel::PinnedModule<AclPinned>::is_freed(static_cast<PyObject*>(owner));
}

}  // namespace accel_ascend
