// The coder's loops for any processor.
#include <algorithm>
#include <cstring>
#include <type_traits>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <accel/kv_codec.h>

#include "lanes.hpp"

#pragma GCC diagnostic ignored "-Wpsabi"  // no vector crosses the boundary of this file

namespace accel_cpu::coding {
namespace {

constexpr int kVectorBytes = 16;
#include "lane_vectors.hpp"
#include "lane_coder.hpp"
#include "lane_scans.hpp"
#include "lane_model.hpp"

constexpr LaneKernels kKernels = {
    "portable",
    Encoder<PortableOps>::run,
    Decoder<PortableOps>::run,
    check_units<std::uint32_t>,
    check_units<std::uint16_t>,
    count_symbols<8>,
    stage_rest,
    make_rows,
    make_rows_wide,
    largest_symbol,
};

}  // namespace

const LaneKernels* portable_kernels() { return &kKernels; }

}  // namespace accel_cpu::coding
