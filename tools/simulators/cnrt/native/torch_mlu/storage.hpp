// Bytes of tensors on the device: made, resized, moved.
#pragma once

#include <c10/core/Storage.h>

namespace torch_mlu {

// Keeps what fits, in the order of the current stream.
void resize_storage(const c10::Storage& storage, std::size_t bytes);

}  // namespace torch_mlu
