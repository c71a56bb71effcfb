#include "kernels.hpp"

#include <mutex>
#include <set>

#include <accel_sim/call.hpp>
#include <accel_sim/streams.hpp>
#include <accel_sim/torch.hpp>

#include "checks.hpp"
#include "torch_mlu/devices.hpp"
#include "torch_mlu/streams.hpp"

namespace torch_mlu {
namespace {

// "aten_mul" of aten::mul: faults are planned for names without colons. Never destroyed: the trace,
// written at the process's end, names them.
const char* lasting(std::string name) {
  static auto* const names = new std::set<std::string>;
  static std::mutex mutex;
  if (const auto colons = name.find("::"); colons != std::string::npos) name.replace(colons, 2, "_");
  const std::lock_guard lock(mutex);
  return names->insert(std::move(name)).first->c_str();
}

}  // namespace

View::View(const at::Tensor& tensor)
    : data(tensor.const_data_ptr()),
      sizes(tensor.sizes().vec()),
      strides(tensor.strides().vec()),
      dtype(tensor.scalar_type()),
      wrapped_number(tensor.unsafeGetTensorImpl()->is_wrapped_number()),
      conjugated(tensor.is_conj()),
      negated(tensor.is_neg()) {}

at::Tensor View::open() const {
  at::Tensor tensor = accel_sim::host_tensor(data, sizes, strides, dtype);
  if (wrapped_number) tensor.unsafeGetTensorImpl()->set_wrapped_number(true);
  if (conjugated) tensor._set_conj(true);
  if (negated) tensor._set_neg(true);
  return tensor;
}

std::uint64_t View::bytes() const { return c10::multiply_integers(sizes) * elementSize(dtype); }

void submit(const std::string& name, c10::DeviceIndex device, std::function<void()> body,
            std::uint64_t bytes) {
  const OnDevice here(device);
  const char* const lasting_name = lasting(name);
  accel_sim::Stream& stream = simulated(current_stream(device));
  const int code = accel_sim::guarded(lasting_name, [&] {
    auto run = [body = std::move(body)] { accel_sim::run_kernels(body); };
    accel_sim::submit(stream, {lasting_name, std::move(run), bytes});
  });
  check(code, lasting_name);
}

}  // namespace torch_mlu
