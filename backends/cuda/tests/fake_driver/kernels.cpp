// Modules and launches. A "cubin" is any bytes; a kernel is a function of this process that a test
// registered under its name, run block by block by the stream's thread.

#include <cstring>

#include "fake.hpp"

using namespace fake;

namespace {

using Kernel = void (*)(const unsigned* grid, unsigned block, unsigned shared_bytes,
                        const void* args);

struct Function {
  Kernel run = nullptr;
  std::size_t args_bytes = 0;
};

std::mutex mutex;
std::map<std::string, Function>& kernels() {
  static auto* only = new std::map<std::string, Function>;
  return *only;
}

// What tests of fault records launch: writes the record as a kernel would.
struct FaultArgs {
  std::uint32_t* record;  // state, kind, argument, padding
  std::uint32_t kind, argument;
  std::int64_t index, limit, position;
};

void report_fault(const unsigned*, unsigned, unsigned, const void* pointer) {
  FaultArgs args;
  std::memcpy(&args, pointer, sizeof args);
  if (args.record[0] != 0) return;
  args.record[1] = args.kind;
  args.record[2] = args.argument;
  const std::int64_t rest[3] = {args.index, args.limit, args.position};
  std::memcpy(args.record + 4, rest, sizeof rest);
  std::atomic_thread_fence(std::memory_order_release);
  args.record[0] = 2;
}

}  // namespace

// Makes `run` the kernel `name` of modules loaded from now on; its one argument has that size.
FAKE_ENTRY void accel_fake_kernel(const char* name, Kernel run, std::size_t args_bytes) {
  std::lock_guard<std::mutex> lock(mutex);
  kernels()[name] = {run, args_bytes};
}

FAKE_ENTRY int cuModuleLoadData(void** module, const void* image) {
  FAKE_INJECT("cuModuleLoadData");
  if (image == nullptr) return kInvalidValue;
  static int only;
  *module = &only;
  return 0;
}

FAKE_ENTRY int cuModuleUnload(void*) { return 0; }

FAKE_ENTRY int cuModuleGetFunction(void** function, void*, const char* name) {
  std::lock_guard<std::mutex> lock(mutex);
  if (std::strcmp(name, "report_fault") == 0) kernels()[name] = {report_fault, sizeof(FaultArgs)};
  if (std::strncmp(name, "no_such", 7) == 0) return kNotFound;
  // A kernel that no test registered is found, as in a real module, and does nothing.
  *function = &kernels()[name];
  return 0;
}

FAKE_ENTRY int cuFuncLoad(void*) { return 0; }

FAKE_ENTRY int cuFuncSetAttribute(void*, int, int) { return 0; }

FAKE_ENTRY int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void*, int, std::size_t) {
  *blocks = 2;
  return 0;
}

FAKE_ENTRY int cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                              unsigned block_x, unsigned block_y, unsigned block_z,
                              unsigned shared_bytes, void* stream, void** parameters, void**) {
  FAKE_INJECT("cuLaunchKernel");
  if (grid_x == 0 || grid_y == 0 || grid_z == 0 || block_x * block_y * block_z == 0 ||
      block_x * block_y * block_z > 1024 || grid_y > 65535 || grid_z > 65535) {
    return kInvalidValue;
  }
  const Function kernel = *static_cast<Function*>(function);
  if (kernel.run == nullptr) return 0;
  const auto* bytes = static_cast<const char*>(parameters[0]);
  const std::string args(bytes, kernel.args_bytes);
  return give(stream_of(stream), [=] {
    const unsigned grid[3] = {grid_x, grid_y, grid_z};
    kernel.run(grid, block_x, shared_bytes, args.data());
  });
}
