// Start and end, versions, texts of errors, and how a program knows that this is the simulator.
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <sstream>

#include "accel_sim/simulator.hpp"
#include "accel_sim/trace.hpp"
#include "api.hpp"

#include <sys/prctl.h>

using namespace ascendcl;

namespace {

std::mutex init_mutex;
bool initialised = false;

// A thread of torch_npu, one a device, looks for released memory each microsecond for as long as the
// program runs; a program of several ranks that only waits would thus take whole cores. Threads take
// the slack of their timers from whoever starts them: this one lets that thread sleep for longer.
constexpr unsigned long kTimerSlackNs = 500'000;

// The default device that a configuration file names; -1 when it names none.
// {"defaultDevice": {"default_device": "0"}}
int default_device_of(const char* path) {
  std::ifstream file(path);
  if (!file) throw Failure(100003, std::string("the configuration ") + path + " cannot be read");
  std::stringstream whole;
  whole << file.rdbuf();
  const std::string text = whole.str();
  const std::string key = "\"default_device\"";
  std::size_t at = text.find(key);
  if (at == std::string::npos) return -1;
  at = text.find_first_of("0123456789", at + key.size());
  return at == std::string::npos ? -1 : std::atoi(text.c_str() + at);
}

struct PackageVersion {
  char version[128];
  char major[64];
  char minor[64];
  char release[64];
  char patch[64];
  char reserved[128];
};

constexpr int kDriverPackage = 7;

void put(char* target, std::size_t room, const std::string& text) {
  std::snprintf(target, room, "%s", text.c_str());
}

}  // namespace

extern "C" const char* accel_simulator() {
  static const std::string* const text = new std::string(
      "CANN simulator 0.1, posing as CANN " + pose().release + " on " + pose().soc);
  return text->c_str();
}

ACL_EXPORT int aclInit(const char* config) {
  return guarded("aclInit", [&] {
    std::lock_guard<std::mutex> lock(init_mutex);
    if (initialised) throw Failure(kRepeatedInit, "aclInit was called already");
    // Releases before 8.3 ignore a default device.
    if (config && *config && pose().version >= 803) {
      accel_sim::set_default_device(default_device_of(config));
    }
    initialised = true;
    accel_sim::mark_used();
    prctl(PR_SET_TIMERSLACK, kTimerSlackNs, 0, 0, 0);
  });
}

ACL_EXPORT int aclFinalize() {
  // A child that ends after a fork must end in peace.
  if (accel_sim::forked_after_use()) return 0;
  return guarded("aclFinalize", [&] {
    std::lock_guard<std::mutex> lock(init_mutex);
    if (!initialised) throw Failure(100037, "aclFinalize without aclInit");
    initialised = false;
    accel_sim::set_default_device(-1);
    accel_sim::write_trace();
  });
}

ACL_EXPORT int aclFinalizeReference(std::uint64_t* count) {
  if (count) *count = 0;
  return aclFinalize();
}

ACL_EXPORT const char* aclGetRecentErrMsg() {
  // Reading takes it: what is left belongs to a later call.
  thread_local std::string text;
  text = accel_sim::recent_error_text();
  accel_sim::set_recent_error({accel_sim::recent_error_code(false), ""});
  return text.empty() ? nullptr : text.c_str();
}

ACL_EXPORT int aclsysGetCANNVersion(int package, PackageVersion* version) {
  return guarded("aclsysGetCANNVersion", [&] {
    require_release(801, "aclsysGetCANNVersion");
    if (package < 0 || package > kDriverPackage) {
      throw Failure(kInvalidParameter, "there is no package " + std::to_string(package));
    }
    PackageVersion& out = required(version, "version");
    std::memset(&out, 0, sizeof out);
    const std::string text = package == kDriverPackage ? pose().driver : pose().release;
    put(out.version, sizeof out.version, text);
    std::stringstream parts(text);
    std::string part;
    for (char* field : {out.major, out.minor, out.release}) {
      if (std::getline(parts, part, '.')) put(field, sizeof out.major, part);
    }
  });
}

ACL_EXPORT int aclsysGetVersionStr(char* package, char* version) {
  return guarded("aclsysGetVersionStr", [&] {
    require_release(805, "aclsysGetVersionStr");
    required(version, "version");
    const bool driver = std::strcmp(&required(package, "package"), "driver") == 0;
    put(version, 128, driver ? pose().driver : pose().release);
  });
}

ACL_EXPORT int aclsysGetVersionNum(char* package, std::int32_t* version) {
  return guarded("aclsysGetVersionNum", [&] {
    require_release(805, "aclsysGetVersionNum");
    const bool driver = std::strcmp(&required(package, "package"), "driver") == 0;
    int major = 0;
    int minor = 0;
    int patch = 0;
    std::sscanf((driver ? pose().driver : pose().release).c_str(), "%d.%d.%d", &major, &minor,
                &patch);
    required(version, "version") = major * 10000000 + minor * 100000 + patch * 1000;
  });
}

ACL_EXPORT int aclrtGetVersion(std::int32_t* major, std::int32_t* minor, std::int32_t* patch) {
  return guarded("aclrtGetVersion", [&] {
    required(major, "major") = 1;
    required(minor, "minor") = pose().version >= 805 ? 15 : pose().version >= 803 ? 14 : 12;
    required(patch, "patch") = 0;
  });
}

// Logs of the program: kept quiet unless asked for, as with ASCEND_SLOG_PRINT_TO_STDOUT.
ACL_EXPORT void aclAppLog(int level, const char* function, const char* file, std::uint32_t line,
                          const char* format, ...) {
  static const char* const print = std::getenv("ASCEND_SLOG_PRINT_TO_STDOUT");
  if (!print || std::strcmp(print, "1") != 0) return;
  static const char* const names[] = {"DEBUG", "INFO", "WARNING", "ERROR"};
  std::printf("[%s] %s:%u %s: ", level >= 0 && level < 4 ? names[level] : "LOG",
              file ? file : "", line, function ? function : "");
  va_list arguments;
  va_start(arguments, format);
  std::vprintf(format, arguments);
  va_end(arguments);
  std::printf("\n");
}

ACL_EXPORT int aclrtPeekAtLastError(int) { return accel_sim::recent_error_code(false); }
ACL_EXPORT int aclrtGetLastError(int) { return accel_sim::recent_error_code(true); }
