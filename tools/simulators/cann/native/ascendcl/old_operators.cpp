#include "old_operators.hpp"

#include <dlfcn.h>

#include <atomic>
#include <mutex>

#include "api.hpp"

using namespace ascendcl;

namespace {

std::atomic<OldOperatorRunner> runner{nullptr};

// The operators' library may not be loaded yet: nothing of torch_npu links it.
OldOperatorRunner loaded_runner() {
  if (!runner.load()) {
    static std::once_flag once;
    std::call_once(once, [] { dlopen("libopapi.so", RTLD_NOW | RTLD_GLOBAL); });
  }
  return runner.load();
}

template <typename T, typename U>
std::vector<T*> list(U* const* items, int count) {
  return std::vector<T*>(items, items + (items ? count : 0));
}

int run(const char* name, const OldOperator& call) {
  return guarded(name, [&] {
    required(call.type, "opType");
    OldOperatorRunner known = loaded_runner();
    if (!known) {
      throw Failure(Kind::not_simulated, std::string("operator ") + call.type +
                                             " is not simulated: libopapi was not found");
    }
    known(call);
  });
}

}  // namespace

ACL_EXPORT void accel_simulator_set_old_operator_runner(OldOperatorRunner chosen) {
  runner.store(chosen);
}

ACL_EXPORT int aclopCompileAndExecute(const char* type, int input_count,
                                      const aclTensorDesc* const input_descriptions[],
                                      const aclDataBuffer* const inputs[], int output_count,
                                      const aclTensorDesc* const output_descriptions[],
                                      aclDataBuffer* const outputs[], const aclopAttr* attributes,
                                      int, int, const char*, void* stream) {
  std::vector<aclTensorDesc*> described;
  for (int one = 0; one < output_count; ++one) {
    described.push_back(const_cast<aclTensorDesc*>(output_descriptions[one]));
  }
  return run("aclopCompileAndExecute",
             {type, list<const aclTensorDesc>(input_descriptions, input_count),
              list<const aclDataBuffer>(inputs, input_count), described,
              list<aclDataBuffer>(outputs, output_count), attributes, stream});
}

ACL_EXPORT int aclopCompileAndExecuteV2(const char* type, int input_count,
                                        aclTensorDesc* input_descriptions[],
                                        aclDataBuffer* inputs[], int output_count,
                                        aclTensorDesc* output_descriptions[],
                                        aclDataBuffer* outputs[], aclopAttr* attributes, int, int,
                                        const char*, void* stream) {
  return run("aclopCompileAndExecuteV2",
             {type, list<const aclTensorDesc>(input_descriptions, input_count),
              list<const aclDataBuffer>(inputs, input_count),
              list<aclTensorDesc>(output_descriptions, output_count),
              list<aclDataBuffer>(outputs, output_count), attributes, stream});
}
