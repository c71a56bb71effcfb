#include "accel_sim/release.hpp"

#include <dlfcn.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace accel_sim {
namespace {

[[noreturn]] void fail(const char* name) {
  std::fprintf(stderr, "accel simulator: %s could not be hidden from lookups\n", name);
  std::exit(2);
}

// A symbol without a value is none to the loader.
void hide(void* library, const char* name) {
  void* address = dlsym(library, name);
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

}  // namespace

void hide_functions(const void* inside, std::initializer_list<const char*> names) {
  Dl_info here;
  if (!dladdr(inside, &here)) fail("a library");
  void* library = dlopen(here.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (!library) fail(here.dli_fname);
  for (const char* name : names) hide(library, name);
  dlclose(library);
}

}  // namespace accel_sim
