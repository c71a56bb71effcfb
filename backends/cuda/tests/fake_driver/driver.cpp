// Initialisation, devices, contexts, errors, and what tests steer the driver with.

#include <cstdlib>
#include <cstring>

#include "fake.hpp"

namespace fake {
namespace {

constexpr int kDevices = 2;
std::atomic<bool> initialised{false};
Context contexts[kDevices] = {{0}, {1}};
thread_local Context* current = nullptr;

struct Failure {
  int code = 0;
  int skip = 0;
  int times = 0;
};
std::mutex failing;
std::map<std::string, Failure>& failures() {
  static auto* only = new std::map<std::string, Failure>;
  return *only;
}
std::map<std::string, long>& calls() {
  static auto* only = new std::map<std::string, long>;
  return *only;
}

struct Named {
  int code;
  const char* name;
  const char* text;
};
const Named kErrors[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {600, "CUDA_ERROR_NOT_READY", "device not ready"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted while capturing"},
    {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error"},
    {903, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "capture was not started in this stream"},
    {904, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"},
    {905, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "dependency on work of another capture"},
    {907, "CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event of a capture"},
};

}  // namespace

Context* current_context() { return current; }

bool defect(const char* name) {
  const char* const wanted = std::getenv("ACCEL_FAKE_DEFECT");
  return wanted != nullptr && std::strcmp(wanted, name) == 0;
}

int injected(const char* entry) {
  std::lock_guard<std::mutex> lock(failing);
  ++calls()[entry];
  const auto found = failures().find(entry);
  if (found == failures().end()) return 0;
  Failure& failure = found->second;
  if (failure.skip > 0) {
    --failure.skip;
    return 0;
  }
  const int code = failure.code;
  if (--failure.times == 0) failures().erase(found);
  return code;
}

}  // namespace fake

using namespace fake;

// Reports carry the word where a driver exports this.
FAKE_ENTRY int accel_simulated_driver() { return 1; }

// The next `times` calls of `entry` but for the first `skip` return `code`; -1 is for ever, and 0
// takes it back.
FAKE_ENTRY void accel_fake_fail(const char* entry, int code, int skip, int times) {
  std::lock_guard<std::mutex> lock(failing);
  if (times == 0) {
    failures().erase(entry);
  } else {
    failures()[entry] = {code, skip, times};
  }
}

// How often an entry was called; only those that can be made to fail are counted.
FAKE_ENTRY long accel_fake_calls(const char* entry) {
  std::lock_guard<std::mutex> lock(failing);
  return calls()[entry];
}

FAKE_ENTRY int cuInit(unsigned) {
  FAKE_INJECT("cuInit");
  if (const char* code = std::getenv("ACCEL_FAKE_INIT")) return std::atoi(code);
  initialised = true;
  return 0;
}

FAKE_ENTRY int cuDriverGetVersion(int* version) {
  *version = 13000;
  return 0;
}

FAKE_ENTRY int cuGetErrorName(int code, const char** name) {
  for (const Named& error : kErrors) {
    if (error.code == code) {
      *name = error.name;
      return 0;
    }
  }
  *name = nullptr;
  return kInvalidValue;
}

FAKE_ENTRY int cuGetErrorString(int code, const char** text) {
  for (const Named& error : kErrors) {
    if (error.code == code) {
      *text = error.text;
      return 0;
    }
  }
  *text = nullptr;
  return kInvalidValue;
}

FAKE_ENTRY int cuDeviceGetCount(int* count) {
  FAKE_INJECT("cuDeviceGetCount");
  if (!initialised) return kNotInitialized;
  *count = kDevices;
  return 0;
}

FAKE_ENTRY int cuDeviceGet(int* device, int ordinal) {
  if (ordinal < 0 || ordinal >= kDevices) return kInvalidDevice;
  *device = ordinal;
  return 0;
}

FAKE_ENTRY int cuDeviceGetName(char* name, int size, int) {
  std::strncpy(name, "fake device", static_cast<std::size_t>(size));
  return 0;
}

FAKE_ENTRY int cuDeviceGetPCIBusId(char* name, int size, int device) {
  const char* const buses[] = {"0000:01:00.0", "0000:02:00.0"};
  std::strncpy(name, buses[device], static_cast<std::size_t>(size));
  return 0;
}

FAKE_ENTRY int cuDeviceGetUuid(char* uuid, int device) {
  std::memset(uuid, 0x40 + device, 16);
  return 0;
}

FAKE_ENTRY int cuDeviceGetAttribute(int* value, int attribute, int) {
  static const std::map<int, int> known = {
      {1, 1024}, {8, 49152}, {10, 32}, {16, 4},      {38, 1 << 20}, {39, 2048}, {40, 2},
      {75, 9},   {76, 0},    {81, 233472}, {88, 0}, {97, 232448},  {99, 1},    {134, -1}};
  const auto found = known.find(attribute);
  *value = found == known.end() ? 0 : found->second;
  return 0;
}

FAKE_ENTRY int cuDevicePrimaryCtxRetain(Context** context, int device) {
  FAKE_INJECT("cuDevicePrimaryCtxRetain");
  if (device < 0 || device >= kDevices) return kInvalidDevice;
  *context = &contexts[device];
  return 0;
}

FAKE_ENTRY int cuDevicePrimaryCtxRelease_v2(int) { return 0; }

FAKE_ENTRY int cuCtxGetCurrent(Context** context) {
  if (!initialised) return kNotInitialized;
  *context = fake::current;
  return 0;
}

FAKE_ENTRY int cuCtxSetCurrent(Context* context) {
  fake::current = context;
  return 0;
}

FAKE_ENTRY int cuDeviceCanAccessPeer(int* can, int a, int b) {
  *can = a != b;
  return 0;
}

FAKE_ENTRY int cuCtxEnablePeerAccess(Context*, unsigned) { return 0; }
