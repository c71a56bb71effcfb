// Functions that came with a later release than the posed one must not be found by a lookup:
// callers choose what to use by what is there. Their entries in this library's symbol table are
// blanked when it is loaded, before anything can look them up.
#include <dlfcn.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

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

[[noreturn]] void fail(const char* name) {
  std::fprintf(stderr, "CANN simulator: %s could not be hidden from lookups\n", name);
  std::exit(2);
}

// A symbol without a value is none to the loader.
void hide(void* self, const char* name) {
  void* address = dlsym(self, name);
  Dl_info info;
  ElfW(Sym)* symbol = nullptr;
  if (!address ||
      !dladdr1(address, &info, reinterpret_cast<void**>(&symbol), RTLD_DL_SYMENT) || !symbol) {
    fail(name);
  }
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const std::uintptr_t first = reinterpret_cast<std::uintptr_t>(symbol) / page * page;
  const std::uintptr_t end = reinterpret_cast<std::uintptr_t>(symbol) + sizeof *symbol;
  void* const begin = reinterpret_cast<void*>(first);
  if (mprotect(begin, end - first, PROT_READ | PROT_WRITE) != 0) fail(name);
  symbol->st_value = 0;
  symbol->st_shndx = SHN_UNDEF;
  mprotect(begin, end - first, PROT_READ);
}

__attribute__((constructor)) void hide_later_functions() {
  Dl_info here;
  if (!dladdr(reinterpret_cast<void*>(&hide_later_functions), &here)) fail("libascendcl");
  void* self = dlopen(here.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (!self) fail(here.dli_fname);
  for (const Since& later : kLater) {
    if (pose().version < later.version) hide(self, later.name);
  }
  dlclose(self);
}

}  // namespace
}  // namespace ascendcl
