#include "runtime.hpp"

#include "error.hpp"

namespace accel {

const DeviceRuntime& runtime() {
  static const accel_mlu::CnrtRuntime& only = *new accel_mlu::CnrtRuntime;
  return only;
}

}  // namespace accel

namespace accel_mlu {
namespace {

void* address(std::uintptr_t at) { return reinterpret_cast<void*>(at); }

// Same device or host; peers have a call of their own.
Direction direction_of(const accel::MemoryPlace& dst, const accel::MemoryPlace& src) {
  if (dst.on_host()) return kDeviceToHost;
  return src.on_host() ? kHostToDevice : kDeviceToDevice;
}

bool between_devices(const accel::MemoryPlace& dst, const accel::MemoryPlace& src) {
  return !dst.on_host() && !src.on_host() && dst.device != src.device;
}

// The newest form: which of them are there depends on the release, and their arguments are alike.
std::pair<decltype(Cnrt::memcpy_async), Entry> newest_copy() {
  if (cnrt().memcpy_async_v3 != nullptr) return {cnrt().memcpy_async_v3, Entry::memcpy_async_v3};
  if (cnrt().memcpy_async_v2 != nullptr) return {cnrt().memcpy_async_v2, Entry::memcpy_async_v2};
  return {cnrt().memcpy_async, Entry::memcpy_async};
}

}  // namespace

const accel::DeviceRuntime::Names& CnrtRuntime::names() const {
  static const Names all{"mlu", "mlu", "accel_mlu", "CnrtError", "CNRT"};
  return all;
}

// --- devices

int CnrtRuntime::device_count() const {
  unsigned count = 0;
  ACCEL_CNRT_CALL(get_device_count, &count);
  return static_cast<int>(count);
}

int CnrtRuntime::current_device() const noexcept {
  int now = -1;
  return cnrt().get_device(&now) == kSuccess ? now : -1;
}

void CnrtRuntime::set_device(int index) const { ACCEL_CNRT_CALL(set_device, index); }

bool CnrtRuntime::reaches(int from, int to) const {
  unsigned can = 0;
  if (cnrt().peer_accessibility == nullptr || cnrt().memcpy_peer_async == nullptr) return false;
  return cnrt().peer_accessibility(&can, from, to) == kSuccess && can != 0;
}

// --- queues and notifiers

void CnrtRuntime::synchronize(Queue queue) const { ACCEL_CNRT_CALL(queue_sync, queue); }

EventHandle CnrtRuntime::new_event() const {
  EventHandle event = nullptr;
  if (cnrt().notifier_create_with_flags != nullptr &&
      cnrt().notifier_create_with_flags(&event, kNotifierWithoutTiming) == kSuccess) {
    return event;
  }
  ACCEL_CNRT_CALL(notifier_create, &event);
  return event;
}

bool CnrtRuntime::record(EventHandle event, Queue queue) const noexcept {
  return cnrt().place_notifier(event, queue) == kSuccess;
}

bool CnrtRuntime::complete(EventHandle event) const noexcept {
  const Result result = cnrt().query_notifier(event);
  return result != kNotReady && result != kBusy;
}

bool CnrtRuntime::calls_host() const noexcept { return cnrt().invoke_host_func != nullptr; }

void CnrtRuntime::call_host(Queue queue, HostFunction function, void* argument) const {
  ACCEL_CNRT_CALL(invoke_host_func, queue, function, argument);
}

std::string CnrtRuntime::why_no_calls() const {
  return "this CNRT has no cnrtInvokeHostFunc. Cure: upgrade Neuware";
}

// --- copies

void CnrtRuntime::copy(const accel::FlatCopy& copy, Queue queue) const {
  const Place &dst = copy.dst_place, &src = copy.src_place;
  if (between_devices(dst, src) && cnrt().memcpy_peer_async != nullptr) {
    ACCEL_CNRT_CALL(memcpy_peer_async, address(copy.dst), dst.device, address(copy.src),
                    src.device, copy.nbytes, queue);
    return;
  }
  const Direction direction = between_devices(dst, src) ? kPeerToPeer : direction_of(dst, src);
  const auto [call, entry] = newest_copy();
  const Result result = call(address(copy.dst), address(copy.src), copy.nbytes, queue, direction);
  if (result != kSuccess) throw_fault(result, entry);
}

bool CnrtRuntime::copies_rows(const Place& dst, const Place& src) const noexcept {
  return cnrt().memcpy_2d_async != nullptr && !between_devices(dst, src);
}

void CnrtRuntime::copy_rows(const accel::PitchedCopy& copy, const Place& dst, const Place& src,
                            Queue queue) const {
  ACCEL_CNRT_CALL(memcpy_2d_async, address(copy.dst), copy.dst_pitch, address(copy.src),
                  copy.src_pitch, copy.width, copy.height, direction_of(dst, src), queue);
}

std::string CnrtRuntime::why_no_rows(bool on_devices) const {
  if (cnrt().memcpy_2d_async == nullptr) {
    return "this CNRT has no cnrtMemcpy2DAsync. Cure: CNRT 6.14 or newer";
  }
  return on_devices ? "CNRT has no pitched copy between two devices, or its rows overlap here. "
                      "Cure: copy tensors with strides, which operators of the devices take"
                    : "its pitches are less than its rows. Cure: pitches of a row or more";
}

void CnrtRuntime::fill(std::uintptr_t dst, std::size_t nbytes, std::uint8_t value,
                       Queue queue) const {
  ACCEL_CNRT_CALL(memset_async, address(dst), value, nbytes, queue);
}

// --- memory

void* CnrtRuntime::allocate_host(std::size_t nbytes, std::string& why) const {
  void* base = nullptr;
  const Result result = cnrt().host_malloc(&base, nbytes);
  if (result == kSuccess) return base;
  if (has_failed(result)) throw_fault(result, Entry::host_malloc);
  why = message_of(result, Entry::host_malloc);
  return nullptr;
}

void CnrtRuntime::free_host(void* base) const noexcept { cnrt().free_host(base); }

accel::FoundMemory CnrtRuntime::find(std::uintptr_t at) const {
  using Kind = accel::FoundMemory::Kind;
  PointerAttributes found{};
  if (cnrt().pointer_attributes == nullptr ||
      cnrt().pointer_attributes(&found, address(at)) != kSuccess) {
    return {};
  }
  if (found.type == kDevice) return {Kind::Device, found.device};
  return {found.type == kHost ? Kind::Host : Kind::Unknown, -1};
}

bool CnrtRuntime::is_freed(void* owner) const {
  return accel::PinnedModule<CnrtPinned>::is_freed(static_cast<PyObject*>(owner));
}

}  // namespace accel_mlu
