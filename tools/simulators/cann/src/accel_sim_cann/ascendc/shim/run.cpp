// Runs a kernel on all its cores: compiled into every shared object of kernels.
#include "run.h"

#include <algorithm>
#include <numeric>

#include "../kernel_operator.h"

namespace accel_ascendc {
namespace {

using Entry = void (*)(std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t,
                       std::uint64_t);
constexpr std::size_t kMostArguments = 6;  // they travel in registers: an entry may ignore some

// The two furthest ends so far, of different cores.
struct Furthest {
  std::uint64_t end[2] = {0, 0};
  std::uint32_t core[2] = {0, 0};

  const std::uint32_t* other(std::uint32_t mine, std::uint64_t begin) const {
    for (int i = 0; i < 2; ++i) {
      if (end[i] > begin && core[i] != mine) return &core[i];
    }
    return nullptr;
  }
  void add(std::uint64_t to, std::uint32_t mine) {
    if (core[0] == mine || to > end[0]) {
      if (core[0] != mine) {
        end[1] = end[0];
        core[1] = core[0];
      }
      end[0] = std::max(core[0] == mine ? end[0] : 0, to);
      core[0] = mine;
    } else if (core[1] == mine ? to > end[1] : to > end[1]) {
      end[1] = to;
      core[1] = mine;
    }
  }
};

void sweep(std::vector<Access> accesses, bool reads) {
  if (!reads) {
    accesses.erase(std::remove_if(accesses.begin(), accesses.end(),
                                  [](const Access& a) { return !a.write; }),
                   accesses.end());
    for (Access& a : accesses) {
      a.begin = a.begin / kUnit * kUnit;
      a.end = (a.end + kUnit - 1) / kUnit * kUnit;
    }
  }
  std::sort(accesses.begin(), accesses.end(),
            [](const Access& a, const Access& b) { return a.begin < b.begin; });
  Furthest read, written;
  for (const Access& a : accesses) {
    const std::uint32_t* other = written.other(a.core, a.begin);
    if (other == nullptr && a.write) other = read.other(a.core, a.begin);
    if (other != nullptr) {
      broken("cores %u and %u race: %s at address 0x%llx%s", *other, a.core,
             reads ? "one writes what the other reads or writes" : "both write",
             static_cast<unsigned long long>(a.begin), reads ? "" : ", in the same 32 bytes");
    }
    (a.write ? written : read).add(a.end, a.core);
  }
}

void run_core(const accel_ascendc_launch& launch, std::uint32_t index, const Translate& translate,
              std::vector<Access>* accesses) {
  Core mine(index, launch.blocks, launch.unified_bytes, launch.seed, translate, accesses);
  struct Current {
    explicit Current(Core* core) { Core::current() = core; }
    ~Current() { Core::current() = nullptr; }
  } current(&mine);
  std::uint64_t a[kMostArguments] = {};
  std::copy_n(launch.args, std::min(launch.count, kMostArguments), a);
  reinterpret_cast<Entry>(launch.kernel)(a[0], a[1], a[2], a[3], a[4], a[5]);
  detail::drain(mine);
  for (const auto& buffer : mine.buffers) {
    if (buffer->state == Buffer::State::Free || buffer->state == Buffer::State::Always) continue;
    broken("a tensor of a queue is not freed when the kernel ends");
  }
}

void run(const accel_ascendc_launch& launch) {
  if (launch.count > kMostArguments) broken("more than %zu kernel arguments", kMostArguments);
  if (launch.blocks == 0) broken("a launch on 0 cores");
  const Translate translate = [&](std::uint64_t address, std::uint64_t bytes, bool write) {
    char text[256] = "";
    void* const host =
        launch.translate(launch.context, address, bytes, write ? 1 : 0, text, sizeof text);
    if (host == nullptr) {
      broken("%s of %llu bytes at 0x%llx: %s", write ? "a write" : "a read",
             static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(address),
             text);
    }
    return host;
  };
  std::vector<std::uint32_t> order(launch.blocks);
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(launch.seed));
  std::vector<Access> accesses;
  for (const std::uint32_t index : order) {
    try {
      run_core(launch, index, translate, &accesses);
    } catch (const Broken& error) {
      broken("core %u: %s", index, error.what());
    }
  }
  sweep(accesses, false);
  sweep(std::move(accesses), true);
}

}  // namespace
}  // namespace accel_ascendc

extern "C" __attribute__((visibility("default"))) void* accel_ascendc_in_regions(
    void* context, std::uint64_t address, std::uint64_t bytes, int write, char* text,
    std::size_t room) {
  const auto& all = *static_cast<const accel_ascendc_regions*>(context);
  for (std::size_t i = 0; i < all.count; ++i) {
    const accel_ascendc_region& region = all.regions[i];
    if (address < region.address || address - region.address >= region.bytes) continue;
    if (bytes > region.bytes - (address - region.address)) {
      std::snprintf(text, room, "it goes past the end of region %zu", i);
      return nullptr;
    }
    if (write != 0 && region.writable == 0) {
      std::snprintf(text, room, "region %zu is not to be written", i);
      return nullptr;
    }
    return static_cast<std::uint8_t*>(region.host) + (address - region.address);
  }
  std::snprintf(text, room, "no memory is there");
  return nullptr;
}

extern "C" __attribute__((visibility("default"))) int accel_ascendc_run(
    const accel_ascendc_launch* launch, char* text, size_t room) {
  try {
    accel_ascendc::run(*launch);
    return 0;
  } catch (const std::exception& error) {
    std::snprintf(text, room, "%s", error.what());
    return 1;
  }
}
