// Options of the system and of the operator compiler: kept and given back, as programs expect.
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "accel_sim/streams.hpp"
#include "api.hpp"

using namespace ascendcl;

namespace {

struct Options {
  std::mutex mutex;
  std::map<int, std::int64_t> system;
  std::map<int, std::string> compiler;
  int saturation_mode = 1;                      // INF_NAN, what an A2 starts with
  std::map<int, std::uint32_t> overflow;        // by stream
};

Options& options() {
  static Options* const one = new Options;
  return *one;
}

void require_system_option(int option) {
  if (option < 0 || option > 2) throw Failure(kInvalidParameter, "no such system option");
}

int set_system(const char* name, int option, std::int64_t value) {
  return guarded(name, [&] {
    require_system_option(option);
    std::lock_guard<std::mutex> lock(options().mutex);
    options().system[option] = value;
  });
}

int get_system(const char* name, int option, std::int64_t* value) {
  return guarded(name, [&] {
    require_system_option(option);
    std::lock_guard<std::mutex> lock(options().mutex);
    required(value, "value") = options().system[option];
  });
}

constexpr int kCompilerOptions = 17;

void require_compiler_option(int option) {
  if (option < 0 || option >= kCompilerOptions) throw Failure(kInvalidParameter, "no such option");
}

// What each option holds before it is set.
std::string compiler_option(int option) {
  std::lock_guard<std::mutex> lock(options().mutex);
  auto found = options().compiler.find(option);
  if (found != options().compiler.end()) return found->second;
  switch (option) {
    case 0: return "allow_fp32_to_fp16";   // precision mode
    case 3: return "high_performance";     // implementation mode
    case 10: return "disable";             // just-in-time compilation
    case 11: return "0";                   // deterministic
    default: return "";
  }
}

}  // namespace

ACL_EXPORT int aclrtSetSysParamOpt(int option, std::int64_t value) {
  return set_system("aclrtSetSysParamOpt", option, value);
}
ACL_EXPORT int aclrtCtxSetSysParamOpt(int option, std::int64_t value) {
  return set_system("aclrtCtxSetSysParamOpt", option, value);
}
ACL_EXPORT int aclrtGetSysParamOpt(int option, std::int64_t* value) {
  return get_system("aclrtGetSysParamOpt", option, value);
}
ACL_EXPORT int aclrtCtxGetSysParamOpt(int option, std::int64_t* value) {
  return get_system("aclrtCtxGetSysParamOpt", option, value);
}

ACL_EXPORT int aclSetCompileopt(int option, const char* value) {
  return guarded("aclSetCompileopt", [&] {
    require_compiler_option(option);
    std::lock_guard<std::mutex> lock(options().mutex);
    options().compiler[option] = &required(value, "value");
  });
}

ACL_EXPORT std::size_t aclGetCompileoptSize(int option) {
  return compiler_option(option).size() + 1;
}

ACL_EXPORT int aclGetCompileopt(int option, char* value, std::size_t room) {
  return guarded("aclGetCompileopt", [&] {
    require_compiler_option(option);
    const std::string text = compiler_option(option);
    required(value, "value");
    if (room < text.size() + 1) throw Failure(kInvalidParameter, "the value needs more room");
    std::memcpy(value, text.c_str(), text.size() + 1);
  });
}

ACL_EXPORT int aclopSetCompileFlag(int) { return 0; }

ACL_EXPORT int aclGetCannAttribute(int attribute, std::int32_t* value) {
  return guarded("aclGetCannAttribute", [&] {
    if (attribute < 0 || attribute > 2) throw Failure(kInvalidParameter, "no such attribute");
    required(value, "value") = pose().is_910b() ? 1 : 0;
  });
}

ACL_EXPORT int aclGetCannAttributeList(const int** list, std::size_t* count) {
  return guarded("aclGetCannAttributeList", [&] {
    static const int known[] = {0, 1, 2};
    required(list, "cannAttrList") = known;
    required(count, "num") = pose().is_910b() ? 3 : 0;
  });
}

ACL_EXPORT int aclrtSetDeviceSatMode(int mode) {
  return guarded("aclrtSetDeviceSatMode", [&] {
    if (mode != 0 && mode != 1) throw Failure(kInvalidParameter, "no such overflow mode");
    std::lock_guard<std::mutex> lock(options().mutex);
    options().saturation_mode = mode;
  });
}

ACL_EXPORT int aclrtGetDeviceSatMode(int* mode) {
  return guarded("aclrtGetDeviceSatMode", [&] {
    std::lock_guard<std::mutex> lock(options().mutex);
    required(mode, "mode") = options().saturation_mode;
  });
}

ACL_EXPORT int aclrtSetStreamOverflowSwitch(void* stream, std::uint32_t flag) {
  return guarded("aclrtSetStreamOverflowSwitch", [&] {
    const int id = accel_sim::stream_of(stream).id();
    std::lock_guard<std::mutex> lock(options().mutex);
    options().overflow[id] = flag;
  });
}

ACL_EXPORT int aclrtGetStreamOverflowSwitch(void* stream, std::uint32_t* flag) {
  return guarded("aclrtGetStreamOverflowSwitch", [&] {
    const int id = accel_sim::stream_of(stream).id();
    std::lock_guard<std::mutex> lock(options().mutex);
    required(flag, "flag") = options().overflow[id];
  });
}

// Limits on how long an operator may run or wait: the simulator's never run into them.
ACL_EXPORT int aclrtSetOpWaitTimeout(std::uint32_t) { return 0; }
ACL_EXPORT int aclrtSetOpExecuteTimeOut(std::uint32_t) { return 0; }
ACL_EXPORT int aclrtSetOpExecuteTimeOutWithMs(std::uint32_t) { return 0; }
ACL_EXPORT int aclrtSetOpExecuteTimeOutV2(std::uint64_t timeout, std::uint64_t* actual) {
  return guarded("aclrtSetOpExecuteTimeOutV2",
                 [&] { required(actual, "actualTimeout") = timeout; });
}

// Dumps of operators are never written.
ACL_EXPORT int aclmdlInitDump() { return 0; }
ACL_EXPORT int aclmdlSetDump(const char*) { return 0; }
ACL_EXPORT int aclmdlFinalizeDump() { return 0; }
