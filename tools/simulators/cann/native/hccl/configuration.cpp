#include "configuration.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "accel_sim/modes.hpp"
#include "exports.hpp"

namespace accel_hccl {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw RankFailure(Problem::argument, text); }

// A text member, or a refusal when it fills its array without a terminator.
template <std::size_t N>
std::string text_of(const char (&member)[N], const char* name) {
  const void* end = std::memchr(member, 0, N);
  if (end == nullptr) {
    refuse(std::string("config: ") + name + " is longer than the " + std::to_string(N - 1) +
           " characters that HCCL takes");
  }
  return member;
}

// The structure grew over the versions: members behind the caller's end keep their defaults.
HcclCommConfig complete(const HcclCommConfig& given) {
  constexpr std::size_t kSmallest = offsetof(HcclCommConfig, hcclCommName);
  if (given.magic != kConfigMagic || given.size < kSmallest) {
    refuse("config was not filled by HcclCommConfigInit (its magic word or size is wrong)");
  }
  HcclCommConfig whole;
  std::memset(&whole, 0, sizeof whole);
  whole.hcclBufferSize = whole.hcclDeterministic = kNotSet;
  whole.hcclExecTimeOut = -1;
  std::memcpy(&whole, &given, std::min<std::size_t>(given.size, sizeof whole));
  return whole;
}

}  // namespace

accel_ranks::Times times_from_environment() {
  using accel_ranks::time_from_environment;
  accel_ranks::Times times;
  times.connect = time_from_environment("HCCL_CONNECT_TIMEOUT", times.connect, 1000);
  times.execute = time_from_environment("HCCL_EXEC_TIMEOUT", std::chrono::seconds(1836), 1000);
  times.death = time_from_environment("HCCL_SIM_DEATH_MS", times.death, 1);
  times.destroy = time_from_environment("HCCL_SIM_DESTROY_MS", times.destroy, 1);
  return times;
}

Configuration read_configuration(const HcclCommConfig* config) {
  Configuration result{"", times_from_environment()};
  if (config == nullptr) return result;
  const HcclCommConfig whole = complete(*config);
  result.name = text_of(whole.hcclCommName, "hcclCommName");
  text_of(whole.hcclUdi, "hcclUdi");
  text_of(whole.hcclAlgo, "hcclAlgo");
  text_of(whole.hcclRetryEnable, "hcclRetryEnable");
  text_of(whole.hcclRetryParams, "hcclRetryParams");
  text_of(whole.hcclBufferName, "hcclBufferName");
  if (whole.hcclBufferSize == 0) refuse("config: hcclBufferSize is 0, it must be at least 1 (MiB)");
  if (whole.hcclDeterministic != kNotSet && whole.hcclDeterministic > 2) {
    refuse("config: hcclDeterministic is " + std::to_string(whole.hcclDeterministic) +
           ", it must be 0, 1 or 2");
  }
  if (whole.hcclExecTimeOut != -1) {
    if (whole.hcclExecTimeOut < 0) {
      refuse("config: hcclExecTimeOut is " + std::to_string(whole.hcclExecTimeOut) +
             ", it must not be negative");
    }
    result.times.execute = std::chrono::seconds(whole.hcclExecTimeOut);
  }
  return result;
}

// Which release learned which member is not documented; these are the members of the headers that
// releases of torch_npu for those versions shipped.
std::uint32_t configuration_capability() {
  const std::string version = accel_sim::choice("ACCEL_SIM_CANN", {"8.5", "8.3", "8.0"});
  if (version == "8.0") return 5;  // up to the initialisation by environment
  if (version == "8.3") return 9;  // up to the execution timeout
  return 12;
}

}  // namespace accel_hccl
