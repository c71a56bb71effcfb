// gather: sequences out of a paged cache, by block tables on the host or on the device.
#pragma once

#include <pybind11/pybind11.h>

#include "movers.hpp"

namespace accel_cuda::kv {

// `scratch` makes an int64 tensor on the device: called with the number of elements, on the stream
// that is current. Only tables on the device need it.
void run_gather(Pair& pair, pybind11::handle src, pybind11::handle dst,
                pybind11::handle block_table, pybind11::handle seq_lens,
                pybind11::handle seq_starts, std::int64_t block_size, std::int64_t blocks,
                pybind11::handle stream, pybind11::handle scratch);

}  // namespace accel_cuda::kv
