#include "accel_sim/kernel_runs.hpp"

#include <dlfcn.h>

#include <cstdio>

#include "accel_sim/failure.hpp"
#include "accel_sim/memory.hpp"

namespace accel_sim {
namespace {

using Run = int (*)(const accel_kernel_launch*, char*, std::size_t);

Run run_of(void* library) { return reinterpret_cast<Run>(dlsym(library, "accel_kernel_run")); }

bool is_carried(const Carried& carried, std::uint64_t address, std::uint64_t bytes) {
  for (const auto& data : carried) {
    const auto begin = reinterpret_cast<std::uint64_t>(data->data());
    const std::uint64_t size = data->size() * sizeof(std::uint64_t);
    if (address >= begin && address - begin <= size && bytes <= size - (address - begin)) {
      return true;
    }
  }
  return false;
}

void* translate(void* context, std::uint64_t address, std::uint64_t bytes, int write, char* text,
                std::size_t room) {
  void* const pointer = reinterpret_cast<void*>(address);
  try {
    if (is_carried(*static_cast<const Carried*>(context), address, bytes)) {
      if (write == 0) return pointer;
      std::snprintf(text, room, "data of a launch is not to be written");
      return nullptr;
    }
    if (!is_device_address(pointer) && !where_is(pointer).page_locked()) {
      std::snprintf(text, room, "pageable host memory, which a device does not reach");
      return nullptr;
    }
    return host_of(pointer, bytes);
  } catch (const std::exception& error) {
    std::snprintf(text, room, "%s", error.what());
    return nullptr;
  }
}

}  // namespace

bool has_kernel_runner(void* library) { return run_of(library) != nullptr; }

void run_kernel(void* library, const std::string& name, accel_kernel_launch launch,
                const Carried& carried) {
  launch.translate = &translate;
  launch.context = const_cast<Carried*>(&carried);
  char text[1024] = "";
  if (run_of(library)(&launch, text, sizeof text) != 0) {
    throw Failure(Kind::task_failed, "kernel " + name + ": " + text);
  }
}

}  // namespace accel_sim
