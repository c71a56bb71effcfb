// Functions below ACL that torch_npu links for kernels of its own. No machine code of a device runs
// here, so they refuse.
#include "api.hpp"

using namespace ascendcl;

namespace {

int refuse(const char* name) {
  return guarded(name, [&] {
    throw Failure(Kind::not_simulated, "machine code of a device cannot run on the simulator");
  });
}

}  // namespace

ACL_EXPORT int rtDevBinaryRegister(const void*, void**) { return refuse("rtDevBinaryRegister"); }
ACL_EXPORT int rtFunctionRegister(void*, const void*, const char*, const void*, std::uint32_t) {
  return refuse("rtFunctionRegister");
}
ACL_EXPORT int rtKernelLaunch(const void*, std::uint32_t, void*, std::uint32_t, void*, void*) {
  return refuse("rtKernelLaunch");
}
ACL_EXPORT int rtGetC2cCtrlAddr(std::uint64_t*, std::uint32_t*) {
  return refuse("rtGetC2cCtrlAddr");
}
