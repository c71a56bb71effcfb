// What torch_npu tells the profiler. There is none here: reports are taken and dropped.
#include <functional>
#include <string_view>

#include "accel_sim/trace.hpp"
#include "api.hpp"

ACL_EXPORT std::int32_t MsprofRegisterCallback(std::uint32_t, std::int32_t (*)(std::uint32_t, void*,
                                                                             std::uint32_t)) {
  return 0;
}
ACL_EXPORT std::int32_t MsprofReportApi(std::uint32_t, const void*) { return 0; }
ACL_EXPORT std::int32_t MsprofReportCompactInfo(std::uint32_t, const void*, std::uint32_t) {
  return 0;
}
ACL_EXPORT std::int32_t MsprofReportAdditionalInfo(std::uint32_t, const void*, std::uint32_t) {
  return 0;
}
ACL_EXPORT std::uint64_t MsprofGetHashId(const char* text, std::size_t bytes) {
  return text ? std::hash<std::string_view>()(std::string_view(text, bytes)) : 0;
}
ACL_EXPORT std::uint64_t MsprofSysCycleTime() { return accel_sim::now_ns(); }
