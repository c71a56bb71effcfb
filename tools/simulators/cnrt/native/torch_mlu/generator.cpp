#include "generator.hpp"

#include <cstring>
#include <vector>

#include <accel_sim/torch.hpp>
#include <ATen/ops/empty.h>

#include "torch_mlu/devices.hpp"

namespace torch_mlu {
namespace {

class Impl final : public c10::GeneratorImpl {
 public:
  explicit Impl(c10::DeviceIndex device)
      : c10::GeneratorImpl(device_at(device), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)) {}

  void set_current_seed(std::uint64_t seed) override {
    seed_ = seed;
    offset_ = 0;
  }
  void set_offset(std::uint64_t offset) override { offset_ = offset; }
  std::uint64_t get_offset() const override { return offset_; }
  std::uint64_t current_seed() const override { return seed_; }
  std::uint64_t seed() override {
    set_current_seed(c10::detail::getNonDeterministicRandom());
    return seed_;
  }
  void set_state(const c10::TensorImpl& state) override {
    TORCH_CHECK(state.dtype() == caffe2::TypeMeta::Make<std::uint8_t>() &&
                    state.numel() == sizeof(State) && state.is_contiguous() &&
                    state.device_type() == c10::DeviceType::CPU,
                "new_state: expected ", sizeof(State), " bytes of host memory, as get_state gives");
    State words;
    std::memcpy(&words, state.data(), sizeof words);
    seed_ = words.seed;
    offset_ = words.offset;
  }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    const State words{seed_, offset_};
    at::Tensor bytes = at::empty({sizeof words}, at::TensorOptions(at::kByte));
    std::memcpy(bytes.mutable_data_ptr(), &words, sizeof words);
    return bytes.getIntrusivePtr();
  }
  at::Generator draw() {
    const std::lock_guard lock(mutex_);
    return accel_sim::host_generator(seed_, offset_++);
  }

 private:
  struct State {
    std::uint64_t seed, offset;
  };

  Impl* clone_impl() const override {
    auto* const copy = new Impl(device().index());
    copy->seed_ = seed_;
    copy->offset_ = offset_;
    return copy;
  }

  std::uint64_t seed_ = c10::default_rng_seed_val;
  std::uint64_t offset_ = 0;
};

}  // namespace

at::Generator new_generator(c10::DeviceIndex device) {
  return at::make_generator<Impl>(device_at(device).index());
}

const at::Generator& default_generator(c10::DeviceIndex device) {
  static auto* const all = [] {
    auto* const made = new std::vector<at::Generator>;
    for (c10::DeviceIndex each = 0; each < device_count(); ++each) {
      made->push_back(new_generator(each));
    }
    return made;
  }();
  return all->at(device_at(device).index());
}

at::Generator drawn_from(const std::optional<at::Generator>& given, c10::DeviceIndex device) {
  const at::Generator from =
      given.has_value() && given->defined() ? *given : default_generator(device);
  TORCH_CHECK(from.device().type() == kDevice, "generator: expected one of ", device_at(device),
              ", given one of ", from.device());
  return static_cast<Impl*>(from.unsafeGetGeneratorImpl())->draw();
}

}  // namespace torch_mlu
