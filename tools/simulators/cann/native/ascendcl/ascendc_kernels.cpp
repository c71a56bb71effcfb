#include "ascendc_kernels.hpp"

#include <dlfcn.h>

#include <cstdio>
#include <cstring>

#include "../../src/accel_sim_cann/ascendc/shim/run.h"
#include "accel_sim/memory.hpp"
#include "api.hpp"

namespace ascendcl {
namespace {

constexpr std::uint32_t kUnifiedBytes910B = 196608;
constexpr std::uint32_t kUnifiedBytes310P = 262144;

using Run = int (*)(const accel_ascendc_launch*, char*, std::size_t);

Run run_of(void* library) { return reinterpret_cast<Run>(dlsym(library, "accel_ascendc_run")); }

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

// Device memory, host memory that a device reaches, or data of the launch.
void* translate(void* context, std::uint64_t address, std::uint64_t bytes, int write, char* text,
                std::size_t room) {
  void* const pointer = reinterpret_cast<void*>(address);
  try {
    if (is_carried(*static_cast<const Carried*>(context), address, bytes)) {
      if (write == 0) return pointer;
      std::snprintf(text, room, "data of a launch is not to be written");
      return nullptr;
    }
    if (!accel_sim::is_device_address(pointer) && !accel_sim::where_is(pointer).page_locked()) {
      std::snprintf(text, room, "pageable host memory, which a device does not reach");
      return nullptr;
    }
    return accel_sim::host_of(pointer, bytes);
  } catch (const std::exception& error) {
    std::snprintf(text, room, "%s", error.what());
    return nullptr;
  }
}

}  // namespace

bool is_ascendc(void* library) { return run_of(library) != nullptr; }

void run_ascendc(void* library, void* kernel, const std::string& name, std::uint32_t blocks,
                 const std::vector<std::uint8_t>& arguments, const Carried& carried,
                 std::uint64_t seed) {
  std::vector<std::uint64_t> words((arguments.size() + 7) / 8);
  std::memcpy(words.data(), arguments.data(), arguments.size());
  accel_ascendc_launch launch = {};
  launch.kernel = kernel;
  launch.args = words.data();
  launch.count = words.size();
  launch.blocks = blocks;
  launch.unified_bytes = pose().is_910b() ? kUnifiedBytes910B : kUnifiedBytes310P;
  launch.seed = seed;
  launch.translate = &translate;
  launch.context = const_cast<Carried*>(&carried);
  char text[1024] = "";
  if (run_of(library)(&launch, text, sizeof text) != 0) {
    throw Failure(Kind::task_failed, "kernel " + name + ": " + text);
  }
}

}  // namespace ascendcl
