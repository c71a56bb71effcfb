// How the plugin launches: the address of the arguments is the kernel's one argument.
#include <copy_harness.hpp>

extern "C" void accel_kv_copy(std::uint8_t* args);

const accel::KvCopyLimits harness_limits = {32, 16384};

int launch_copy(HarnessContext& context, std::uint32_t, const std::vector<std::uint8_t>& arguments) {
  constexpr std::uint64_t kArguments = std::uint64_t{1} << 44;  // where they seem to lie
  std::vector<std::uint8_t> own(arguments);
  context.regions.push_back({kArguments, own.size(), own.data(), 0});
  const std::uint64_t argument = kArguments;
  context.launch.kernel = reinterpret_cast<void*>(&accel_kv_copy);
  context.launch.args = &argument;
  context.launch.words = 1;
  return run_here(context);
}
