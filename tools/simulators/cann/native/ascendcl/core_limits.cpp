// How many cores a device or a stream may use: kept and given back. Operators here use none of them.
#include <array>
#include <map>
#include <mutex>

#include "accel_sim/streams.hpp"
#include "api.hpp"

using namespace ascendcl;

namespace {

using Limits = std::array<std::uint32_t, 2>;  // cube cores, vector cores

struct AllLimits {
  std::mutex mutex;
  std::map<int, Limits> devices;
  std::map<int, Limits> streams;
};

AllLimits& all() {
  static AllLimits* const one = new AllLimits;
  return *one;
}

Limits most() {
  return {static_cast<std::uint32_t>(pose().ai_cores),
          static_cast<std::uint32_t>(pose().vector_cores)};
}

void require(int type, std::uint32_t value) {
  if (type != 0 && type != 1) throw Failure(kInvalidParameter, "no such kind of core");
  if (value > most()[static_cast<std::size_t>(type)]) {
    throw Failure(kInvalidParameter, std::to_string(value) + " cores: the device has " +
                                         std::to_string(most()[static_cast<std::size_t>(type)]));
  }
}

std::uint32_t limit_of(const std::map<int, Limits>& limits, int key, int type,
                       const Limits& otherwise) {
  auto found = limits.find(key);
  return (found == limits.end() ? otherwise : found->second)[static_cast<std::size_t>(type)];
}

void set_limit(std::map<int, Limits>& limits, int key, int type, std::uint32_t value,
               const Limits& otherwise) {
  limits.emplace(key, otherwise).first->second[static_cast<std::size_t>(type)] = value;
}

Limits of_device(int device) {
  auto found = all().devices.find(device);
  return found == all().devices.end() ? most() : found->second;
}

}  // namespace

ACL_EXPORT int aclrtGetDeviceResLimit(std::int32_t device, int type, std::uint32_t* value) {
  return guarded("aclrtGetDeviceResLimit", [&] {
    require(type, 0);
    accel_sim::device_at(device);
    std::lock_guard<std::mutex> lock(all().mutex);
    required(value, "value") = limit_of(all().devices, device, type, most());
  });
}

ACL_EXPORT int aclrtSetDeviceResLimit(std::int32_t device, int type, std::uint32_t value) {
  return guarded("aclrtSetDeviceResLimit", [&] {
    require(type, value);
    accel_sim::device_at(device);
    std::lock_guard<std::mutex> lock(all().mutex);
    set_limit(all().devices, device, type, value, most());
  });
}

ACL_EXPORT int aclrtResetDeviceResLimit(std::int32_t device) {
  return guarded("aclrtResetDeviceResLimit", [&] {
    accel_sim::device_at(device);
    std::lock_guard<std::mutex> lock(all().mutex);
    all().devices.erase(device);
  });
}

ACL_EXPORT int aclrtGetStreamResLimit(void* stream, int type, std::uint32_t* value) {
  return guarded("aclrtGetStreamResLimit", [&] {
    require(type, 0);
    const accel_sim::Stream& known = accel_sim::stream_of(stream);
    std::lock_guard<std::mutex> lock(all().mutex);
    required(value, "value") =
        limit_of(all().streams, known.id(), type, of_device(known.device().index()));
  });
}

ACL_EXPORT int aclrtSetStreamResLimit(void* stream, int type, std::uint32_t value) {
  return guarded("aclrtSetStreamResLimit", [&] {
    require(type, value);
    const accel_sim::Stream& known = accel_sim::stream_of(stream);
    std::lock_guard<std::mutex> lock(all().mutex);
    set_limit(all().streams, known.id(), type, value, of_device(known.device().index()));
  });
}

ACL_EXPORT int aclrtResetStreamResLimit(void* stream) {
  return guarded("aclrtResetStreamResLimit", [&] {
    const int id = accel_sim::stream_of(stream).id();
    std::lock_guard<std::mutex> lock(all().mutex);
    all().streams.erase(id);
  });
}
