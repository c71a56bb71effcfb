// The random wait before an operation: a function of the seed, the rank, the stream and the number
// of the operation on it, so that a run can be repeated.
#pragma once

#include <cstdint>

namespace accel_sim {

std::uint32_t delay_us(int stream, std::uint64_t number);  // 0 when no delays are asked for

}  // namespace accel_sim
