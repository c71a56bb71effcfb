// The coder's loops for any processor.
#include <algorithm>
#include <cstring>

#include <accel/kv_codec.h>

#include "lanes.hpp"

#pragma GCC diagnostic ignored "-Wpsabi"  // no vector crosses the boundary of this file

namespace accel_cpu::coding {
namespace {

#include "lane_vectors.hpp"
#include "lane_coder.hpp"
#include "lane_scans.hpp"

constexpr LaneKernels kKernels = {
    "portable",
    Encoder<PortableOps>::run,
    Decoder<PortableOps>::run,
    check_units<std::uint32_t>,
    check_units<std::uint16_t>,
    count_symbols<8>,
    largest_symbol,
};

}  // namespace

const LaneKernels* portable_kernels() { return &kKernels; }

}  // namespace accel_cpu::coding
