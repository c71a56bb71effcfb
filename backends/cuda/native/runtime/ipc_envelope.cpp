#include "ipc_envelope.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <accel/errors.hpp>

#include <cstring>
#include <fstream>
#include <sstream>

namespace accel_cuda {
namespace {

struct Envelope {
  char magic[8];
  DeviceUuid device;
  std::uint64_t process;
  std::uint64_t started;    // clock ticks after boot, so that a number used again is told apart
  std::uint64_t namespace_;  // of process numbers: in another one they mean something else
  IpcEventHandle handle;
  std::uint64_t checksum;
};
constexpr char kMagic[8] = {'a', 'c', 'c', 'e', 'l', 'e', 'v', '1'};

std::uint64_t checksum(const Envelope& envelope) {
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  const auto* bytes = reinterpret_cast<const unsigned char*>(&envelope);
  for (std::size_t i = 0; i < offsetof(Envelope, checksum); ++i) {
    hash = (hash ^ bytes[i]) * 0x100000001b3u;
  }
  return hash;
}

// When the process began; 0 when there is none.
std::uint64_t start_of(std::uint64_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::size_t name_end = text.rfind(')');  // the name may hold anything
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  fields >> field;
  if (field == "Z" || field == "X") return 0;  // ended, and not yet waited for
  for (int i = 4; i <= 22; ++i) fields >> field;
  return field.empty() ? 0 : std::strtoull(field.c_str(), nullptr, 10);
}

std::uint64_t process_namespace() {
  struct stat info = {};
  return stat("/proc/self/ns/pid", &info) == 0 ? static_cast<std::uint64_t>(info.st_ino) : 0;
}

DeviceUuid uuid_of(const Device& device) {
  DeviceUuid uuid = {};
  if (driver().device_uuid != nullptr) driver().device_uuid(&uuid, device.ordinal);
  return uuid;
}

}  // namespace

std::string seal_ipc_handle(const Device& device, const IpcEventHandle& handle) {
  Envelope envelope;
  std::memset(&envelope, 0, sizeof envelope);
  std::memcpy(envelope.magic, kMagic, sizeof kMagic);
  envelope.device = uuid_of(device);
  envelope.process = static_cast<std::uint64_t>(getpid());
  envelope.started = start_of(envelope.process);
  envelope.namespace_ = process_namespace();
  envelope.handle = handle;
  envelope.checksum = checksum(envelope);
  return std::string(reinterpret_cast<const char*>(&envelope), sizeof envelope);
}

IpcEventHandle open_ipc_handle(const Device& device, const std::string& bytes) {
  const char* const expected = "bytes made by event.ipc_handle() of this backend";
  Envelope envelope;
  if (bytes.size() != sizeof envelope) {
    accel::fail("ArgumentError", "handle", expected, std::to_string(bytes.size()) + " bytes");
  }
  std::memcpy(&envelope, bytes.data(), sizeof envelope);
  if (std::memcmp(envelope.magic, kMagic, sizeof kMagic) != 0 ||
      envelope.checksum != checksum(envelope)) {
    accel::fail("ArgumentError", "handle", expected, "other or damaged bytes");
  }
  const DeviceUuid here = uuid_of(device);
  if (std::memcmp(&envelope.device, &here, sizeof here) != 0) {
    accel::fail("ArgumentError", "handle",
                "the handle of an event of device cuda:" + std::to_string(device.index),
                "that of another device", "open it with the backend of that device");
  }
  if (envelope.namespace_ == process_namespace() &&
      start_of(envelope.process) != envelope.started) {
    accel::fail("ArgumentError", "handle", "the handle of an event whose process is running",
                "one of process " + std::to_string(envelope.process) + ", which has ended");
  }
  return envelope.handle;
}

}  // namespace accel_cuda
