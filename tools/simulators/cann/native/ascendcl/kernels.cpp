// Device binaries. The simulator's are host shared objects, whose kernels a launch runs on the
// stream's thread: AscendC sources compiled through accel_sim_cann/ascendc, or any functions of the
// form of accel_sim/kernel_abi.h, called once for each block.
#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "accel_sim/kernel_abi.h"
#include "accel_sim/kernel_runs.hpp"
#include "accel_sim/memory.hpp"
#include "accel_sim/modes.hpp"
#include "accel_sim/streams.hpp"
#include "api.hpp"

using namespace ascendcl;
using accel_sim::Carried;

namespace {

struct Binary {
  void* library = nullptr;
  std::string origin;
};

struct Function {
  std::string name;
  void* entry;  // a kernel of AscendC, or an accel_sim_kernel_entry
  Binary* binary;
  bool ascendc;
};

// Arguments in the making, each aligned to 8 bytes.
struct Arguments {
  Function* function = nullptr;
  std::vector<std::uint8_t> bytes;
  std::vector<std::unique_ptr<std::pair<std::size_t, std::size_t>>> parameters;  // offset, size
  std::map<std::size_t, std::shared_ptr<std::vector<std::uint64_t>>> placeholders;  // by offset
  bool finished = false;
};

// Everything handed out, so that a wrong handle is an error and not a crash. Binaries stay loaded.
struct Kernels {
  std::mutex mutex;
  std::unordered_map<const void*, std::unique_ptr<Binary>> binaries;
  std::map<std::pair<const Binary*, std::string>, std::unique_ptr<Function>> functions;
  std::unordered_map<const void*, std::unique_ptr<Arguments>> arguments;
};

Kernels& kernels() {
  static Kernels* const one = new Kernels;
  return *one;
}

constexpr std::size_t kAlignment = 8;
constexpr std::uint32_t kMaxBlocks = 65535;
constexpr std::uint32_t kUnifiedBytes910B = 196608;
constexpr std::uint32_t kUnifiedBytes310P = 262144;

void* load(const std::string& path, const std::string& origin) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* why = dlerror();
    throw Failure(Kind::not_simulated,
                  origin + " is no binary of the simulator (a host shared object): " +
                      (why ? why : "unknown cause"));
  }
  auto binary = std::make_unique<Binary>(Binary{library, origin});
  void* handle = binary.get();
  std::lock_guard<std::mutex> lock(kernels().mutex);
  kernels().binaries[handle] = std::move(binary);
  return handle;
}

Binary* binary_of(const void* handle) {
  auto found = kernels().binaries.find(handle);
  if (found == kernels().binaries.end()) throw Failure(Kind::invalid_handle, "not a loaded binary");
  return found->second.get();
}

Function* function_of(const void* handle) {
  for (auto& entry : kernels().functions) {
    if (entry.second.get() == handle) return entry.second.get();
  }
  throw Failure(Kind::invalid_handle, "not a function of a loaded binary");
}

Arguments* arguments_of(const void* handle) {
  auto found = kernels().arguments.find(handle);
  if (found == kernels().arguments.end()) {
    throw Failure(Kind::invalid_handle, "not a live list of kernel arguments");
  }
  return found->second.get();
}

thread_local std::string refused;

void* kernel_host_of(const void* pointer, std::size_t bytes) {
  try {
    // Zero bytes still have to be somewhere that exists.
    return accel_sim::host_of(pointer, bytes ? bytes : 1);
  } catch (const std::exception& exception) {
    if (refused.empty()) refused = exception.what();
    return nullptr;
  }
}

void run_blocks(const Function& function, std::uint32_t blocks,
                const std::vector<std::uint8_t>& bytes) {
  const auto entry = reinterpret_cast<accel_sim_kernel_entry>(function.entry);
  for (std::uint32_t block = 0; block < blocks; ++block) {
    refused.clear();
    const char* error = nullptr;
    const accel_sim_launch call{block, blocks, bytes.data(), bytes.size(), kernel_host_of};
    if (entry(&call, &error) != 0 || !refused.empty()) {
      throw Failure(Kind::task_failed,
                    "block " + std::to_string(block) + ": " +
                        (!refused.empty() ? refused : error ? error : "the kernel failed"));
    }
  }
}

void run_ascendc(const Function& function, std::uint32_t blocks,
                 const std::vector<std::uint8_t>& bytes, const Carried& carried,
                 std::uint64_t seed) {
  std::vector<std::uint64_t> words((bytes.size() + 7) / 8);
  std::memcpy(words.data(), bytes.data(), bytes.size());
  accel_kernel_launch launch = {};
  launch.kernel = function.entry;
  launch.args = words.data();
  launch.words = words.size();
  launch.cores = blocks;
  launch.local_bytes = pose().is_910b() ? kUnifiedBytes910B : kUnifiedBytes310P;
  launch.seed = seed;
  accel_sim::run_kernel(function.binary->library, function.name, launch, carried);
}

void launch(Function* function, std::uint32_t blocks, std::vector<std::uint8_t> bytes,
            Carried carried, void* stream) {
  if (blocks == 0 || blocks > kMaxBlocks) {
    throw Failure(Kind::invalid_argument,
                  std::to_string(blocks) + " blocks of a kernel: 1 to 65535");
  }
  static std::atomic<std::uint64_t> count{0};
  const std::uint64_t seed = accel_sim::modes().seed * 1000003u + ++count;
  const auto run = [=, bytes = std::move(bytes), carried = std::move(carried)] {
    if (function->ascendc) {
      run_ascendc(*function, blocks, bytes, carried, seed);
    } else {
      run_blocks(*function, blocks, bytes);
    }
  };
  accel_sim::submit(accel_sim::stream_of(stream), {function->name, run});
}

std::vector<std::uint8_t> copy_of(const void* data, std::size_t bytes) {
  const auto* from = static_cast<const std::uint8_t*>(data);
  if (bytes && !from) throw Failure(kInvalidParameter, "the arguments are a null pointer");
  return std::vector<std::uint8_t>(from, from + bytes);
}

}  // namespace

ACL_EXPORT int aclrtBinaryLoadFromFile(const char* path, const void*, void** handle) {
  return guarded("aclrtBinaryLoadFromFile", [&] {
    require_release(803, "aclrtBinaryLoadFromFile");
    required(handle, "binHandle") = load(&required(path, "binPath"), path);
  });
}

ACL_EXPORT int aclrtBinaryLoadFromData(const void* data, std::size_t bytes, const void*,
                                       void** handle) {
  return guarded("aclrtBinaryLoadFromData", [&] {
    if (!data) throw Failure(kInvalidParameter, "data is a null pointer");
    char path[] = "/tmp/accel_sim_kernel_XXXXXX";
    const int file = mkstemp(path);
    if (file < 0) throw Failure(Kind::internal, "no temporary file for a binary");
    std::size_t done = 0;
    while (done < bytes) {
      const ssize_t step = write(file, static_cast<const char*>(data) + done, bytes - done);
      if (step <= 0) break;
      done += static_cast<std::size_t>(step);
    }
    close(file);
    try {
      required(handle, "binHandle") = load(path, "the binary in memory");
    } catch (...) {
      unlink(path);
      throw;
    }
    unlink(path);
  });
}

ACL_EXPORT int aclrtBinaryUnLoad(void* handle) {
  return guarded("aclrtBinaryUnLoad", [&] {
    std::lock_guard<std::mutex> lock(kernels().mutex);
    binary_of(handle);
  });
}

ACL_EXPORT int aclrtBinaryGetFunction(const void* handle, const char* name, void** function) {
  return guarded("aclrtBinaryGetFunction", [&] {
    std::lock_guard<std::mutex> lock(kernels().mutex);
    Binary* binary = binary_of(handle);
    std::unique_ptr<Function>& known = kernels().functions[{binary, &required(name, "kernelName")}];
    if (!known) {
      const bool ascendc = accel_sim::has_kernel_runner(binary->library);
      const std::string symbol = std::string(name) + (ascendc ? "" : "_accel_sim");
      void* found = dlsym(binary->library, symbol.c_str());
      if (!found) {
        kernels().functions.erase({binary, name});
        throw Failure(Kind::invalid_argument, binary->origin + " has no kernel " + name);
      }
      known = std::make_unique<Function>(Function{name, found, binary, ascendc});
    }
    required(function, "funcHandle") = known.get();
  });
}

ACL_EXPORT int aclrtGetFunctionAddr(void* function, void** core, void** vector) {
  return guarded("aclrtGetFunctionAddr", [&] {
    std::lock_guard<std::mutex> lock(kernels().mutex);
    void* entry = function_of(function)->entry;
    required(core, "aicAddr") = entry;
    required(vector, "aivAddr") = entry;
  });
}

ACL_EXPORT int aclrtGetFunctionName(void* function, std::uint32_t room, char* name) {
  return guarded("aclrtGetFunctionName", [&] {
    std::lock_guard<std::mutex> lock(kernels().mutex);
    std::snprintf(&required(name, "name"), room, "%s", function_of(function)->name.c_str());
  });
}

ACL_EXPORT int aclrtKernelArgsInit(void* function, void** arguments) {
  return guarded("aclrtKernelArgsInit", [&] {
    std::lock_guard<std::mutex> lock(kernels().mutex);
    auto fresh = std::make_unique<Arguments>();
    fresh->function = function_of(function);
    void* handle = fresh.get();
    required(arguments, "argsHandle") = handle;
    kernels().arguments[handle] = std::move(fresh);
  });
}

ACL_EXPORT int aclrtKernelArgsAppend(void* handle, void* parameter, std::size_t bytes,
                                     void** parameter_handle) {
  return guarded("aclrtKernelArgsAppend", [&] {
    std::lock_guard<std::mutex> lock(kernels().mutex);
    Arguments* arguments = arguments_of(handle);
    if (arguments->finished) throw Failure(Kind::invalid_argument, "the arguments are finalised");
    const std::vector<std::uint8_t> value = copy_of(parameter, bytes);
    const std::size_t offset = (arguments->bytes.size() + kAlignment - 1) / kAlignment * kAlignment;
    arguments->bytes.resize(offset);
    arguments->bytes.insert(arguments->bytes.end(), value.begin(), value.end());
    arguments->parameters.push_back(
        std::make_unique<std::pair<std::size_t, std::size_t>>(offset, bytes));
    if (parameter_handle) *parameter_handle = arguments->parameters.back().get();
  });
}

ACL_EXPORT int aclrtKernelArgsParaUpdate(void* handle, void* parameter_handle, void* parameter,
                                         std::size_t bytes) {
  return guarded("aclrtKernelArgsParaUpdate", [&] {
    std::lock_guard<std::mutex> lock(kernels().mutex);
    Arguments* arguments = arguments_of(handle);
    for (const auto& known : arguments->parameters) {
      if (known.get() != parameter_handle) continue;
      if (bytes != known->second) {
        throw Failure(kInvalidParameter, "the parameter has another size");
      }
      std::memcpy(arguments->bytes.data() + known->first, &required(static_cast<char*>(parameter),
                                                                  "param"), bytes);
      return;
    }
    throw Failure(Kind::invalid_handle, "not a parameter of these arguments");
  });
}

// A word of the arguments that will be the address of data of their own.
ACL_EXPORT int aclrtKernelArgsAppendPlaceHolder(void* handle, void** parameter_handle) {
  return guarded("aclrtKernelArgsAppendPlaceHolder", [&] {
    std::lock_guard<std::mutex> lock(kernels().mutex);
    Arguments* arguments = arguments_of(handle);
    if (arguments->finished) throw Failure(Kind::invalid_argument, "the arguments are finalised");
    void*& out = required(parameter_handle, "paramHandle");
    const std::size_t offset = (arguments->bytes.size() + kAlignment - 1) / kAlignment * kAlignment;
    arguments->bytes.resize(offset + sizeof(void*));
    arguments->parameters.push_back(
        std::make_unique<std::pair<std::size_t, std::size_t>>(offset, sizeof(void*)));
    arguments->placeholders[offset] = nullptr;
    out = arguments->parameters.back().get();
  });
}

ACL_EXPORT int aclrtKernelArgsGetPlaceHolderBuffer(void* handle, void* parameter_handle,
                                                   std::size_t bytes, void** buffer) {
  return guarded("aclrtKernelArgsGetPlaceHolderBuffer", [&] {
    std::lock_guard<std::mutex> lock(kernels().mutex);
    Arguments* arguments = arguments_of(handle);
    if (arguments->finished) throw Failure(Kind::invalid_argument, "the arguments are finalised");
    void*& out = required(buffer, "bufferAddr");
    if (bytes == 0) throw Failure(kInvalidParameter, "a placeholder of 0 bytes");
    for (const auto& known : arguments->parameters) {
      const auto placeholder = arguments->placeholders.find(known->first);
      if (known.get() != parameter_handle || placeholder == arguments->placeholders.end()) continue;
      placeholder->second = std::make_shared<std::vector<std::uint64_t>>((bytes + 7) / 8);
      out = placeholder->second->data();
      return;
    }
    throw Failure(Kind::invalid_handle, "not a placeholder of these arguments");
  });
}

ACL_EXPORT int aclrtKernelArgsFinalize(void* handle) {
  return guarded("aclrtKernelArgsFinalize", [&] {
    std::lock_guard<std::mutex> lock(kernels().mutex);
    Arguments* arguments = arguments_of(handle);
    for (const auto& [offset, data] : arguments->placeholders) {
      if (!data) throw Failure(kInvalidParameter, "a placeholder was given no memory");
      const void* const address = data->data();
      std::memcpy(arguments->bytes.data() + offset, &address, sizeof address);
    }
    arguments->finished = true;
  });
}

ACL_EXPORT int aclrtLaunchKernelWithConfig(void* function, std::uint32_t blocks, void* stream,
                                           const void*, void* handle, void*) {
  return guarded("aclrtLaunchKernelWithConfig", [&] {
    Function* known = nullptr;
    std::vector<std::uint8_t> bytes;
    Carried carried;
    {
      std::lock_guard<std::mutex> lock(kernels().mutex);
      known = function_of(function);
      Arguments* arguments = arguments_of(handle);
      if (!arguments->finished || arguments->function != known) {
        throw Failure(Kind::invalid_argument,
                      "the arguments are not finalised, or of another function");
      }
      bytes = arguments->bytes;
      for (const auto& [offset, data] : arguments->placeholders) carried.push_back(data);
      // One launch uses them up, as on the device.
      kernels().arguments.erase(handle);
    }
    launch(known, blocks, std::move(bytes), std::move(carried), stream);
  });
}

ACL_EXPORT int aclrtLaunchKernel(void* function, std::uint32_t blocks, const void* data,
                                 std::size_t bytes, void* stream) {
  return guarded("aclrtLaunchKernel", [&] {
    Function* known = nullptr;
    {
      std::lock_guard<std::mutex> lock(kernels().mutex);
      known = function_of(function);
    }
    launch(known, blocks, copy_of(data, bytes), {}, stream);
  });
}
