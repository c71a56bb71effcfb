// Functions that came with a later release than the posed one must not be found by a lookup:
// callers choose what to use by what is there. Their entries in this library's symbol table are
// blanked when it is loaded, before anything can look them up.
#include "accel_sim/release.hpp"
#include "pose.hpp"

namespace ascendcl {
namespace {

struct Since {
  int version;
  const char* name;
};

// By the public documentation of the releases, and by what torch_npu asks of which. Nothing that
// torch_npu links may stand here: what is linked is bound before this runs.
constexpr Since kLater[] = {
    {801, "aclsysGetCANNVersion"},
    {803, "aclmdlRICaptureBegin"},
    {803, "aclmdlRICaptureEnd"},
    {803, "aclmdlRICaptureGetInfo"},
    {803, "aclmdlRICaptureThreadExchangeMode"},
    {803, "aclmdlRIDestroy"},
    {803, "aclmdlRIExecuteAsync"},
    {803, "aclrtSetStreamAttribute"},
    {805, "aclrtHostGetDevicePointer"},
    {805, "aclrtHostRegisterV2"},
    {805, "aclrtIpcGetEventHandle"},
    {805, "aclrtIpcOpenEventHandle"},
    {805, "aclrtLaunchHostFunc"},
    {805, "aclrtMemGetAddressRange"},
    {805, "aclrtMemcpyAsyncWithCondition"},
    {805, "aclrtMemcpyBatch"},
    {805, "aclrtMemcpyBatchAsync"},
    {805, "aclrtPointerGetAttributes"},
    {805, "aclsysGetVersionNum"},
    {805, "aclsysGetVersionStr"},
};

__attribute__((constructor)) void hide_later_functions() {
  for (const Since& later : kLater) {
    if (pose().version >= later.version) continue;
    accel_sim::hide_functions(reinterpret_cast<void*>(&hide_later_functions), {later.name});
  }
}

}  // namespace
}  // namespace ascendcl
