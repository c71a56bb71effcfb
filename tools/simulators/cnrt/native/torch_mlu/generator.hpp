// Random numbers: a seed and a count of the calls so far. Each operator that draws takes a generator
// of the host made of the two, so that equal seeds give equal values whatever the queues do.
#pragma once

#include <ATen/core/Generator.h>

namespace torch_mlu __attribute__((visibility("default"))) {

const at::Generator& default_generator(c10::DeviceIndex device);  // -1: of the current device
at::Generator new_generator(c10::DeviceIndex device);
// What the next operator draws from; none: the device's default generator.
at::Generator drawn_from(const std::optional<at::Generator>& given, c10::DeviceIndex device);

}  // namespace torch_mlu
