// The older operator interface (aclop): what is described here is run by libopapi.
#include <dlfcn.h>

#include <utility>

#include "api.hpp"
#include "descriptions.hpp"

using namespace ascendcl;
using accel_sim_cann::AclopCall;
using accel_sim_cann::AclopTensor;

namespace {

using Runner = decltype(&accel_sim_aclop);

// Nothing that a program links brings libopapi in: torch_npu opens it when it first needs it.
Runner runner() {
  static const Runner found = []() -> Runner {
    void* library = dlopen("libopapi.so", RTLD_NOW | RTLD_GLOBAL);
    return library ? reinterpret_cast<Runner>(dlsym(library, "accel_sim_aclop")) : nullptr;
  }();
  return found;
}

std::vector<AclopTensor> tensors(const aclTensorDesc* const descriptions[],
                                 const aclDataBuffer* const buffers[], int count) {
  std::vector<AclopTensor> all;
  for (int one = 0; one < count; ++one) {
    const aclTensorDesc& description = required(descriptions[one], "a tensor's description");
    AclopTensor tensor;
    tensor.type = description.data_type;
    tensor.sizes = description.shape;
    tensor.on_host = description.placement != 0;
    if (buffers[one]) {
      tensor.data = buffers[one]->data;
      tensor.bytes = buffers[one]->bytes;
    }
    all.push_back(std::move(tensor));
  }
  return all;
}

int run(const char* name, const char* type, int input_count,
        const aclTensorDesc* const input_descriptions[], const aclDataBuffer* const inputs[],
        int output_count, const aclTensorDesc* const output_descriptions[],
        const aclDataBuffer* const outputs[], const aclopAttr* attributes, void* stream) {
  int code = 0;
  const int failed = guarded(name, [&] {
    AclopCall call;
    call.type = &required(type, "opType");
    const Runner known = runner();
    if (!known) {
      throw Failure(Kind::not_simulated, "operator " + call.type +
                                             " is not simulated: libopapi was not found");
    }
    call.inputs = tensors(input_descriptions, inputs, input_count);
    call.outputs = tensors(output_descriptions, outputs, output_count);
    if (attributes) call.attributes = attributes->values;
    code = known(call, stream);
  });
  return failed ? failed : code;
}

}  // namespace

ACL_EXPORT int aclopCompileAndExecute(const char* type, int input_count,
                                      const aclTensorDesc* const input_descriptions[],
                                      const aclDataBuffer* const inputs[], int output_count,
                                      const aclTensorDesc* const output_descriptions[],
                                      aclDataBuffer* const outputs[], const aclopAttr* attributes,
                                      int, int, const char*, void* stream) {
  return run("aclopCompileAndExecute", type, input_count, input_descriptions, inputs, output_count,
             output_descriptions, outputs, attributes, stream);
}

ACL_EXPORT int aclopCompileAndExecuteV2(const char* type, int input_count,
                                        aclTensorDesc* input_descriptions[],
                                        aclDataBuffer* inputs[], int output_count,
                                        aclTensorDesc* output_descriptions[],
                                        aclDataBuffer* outputs[], aclopAttr* attributes, int, int,
                                        const char*, void* stream) {
  return run("aclopCompileAndExecuteV2", type, input_count, input_descriptions, inputs,
             output_count, output_descriptions, outputs, attributes, stream);
}
