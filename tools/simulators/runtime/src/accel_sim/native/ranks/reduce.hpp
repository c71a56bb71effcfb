// Reductions over the ranks' contributions, in rank order, so that results are reproducible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "accel_sim/ranks/dtypes.hpp"

namespace accel_ranks {

/// Reduces `inputs` (one buffer of `count` elements per rank, in rank order) into `output`.
///
/// float16 and bfloat16 are accumulated in float32 and rounded once; integers wrap; a NaN in any
/// input gives a NaN. `output` may be one of the inputs. Throws not_supported for a type
/// without arithmetic (float8, hifloat8, int128).
void reduce(Reduction op, DataType type, const std::vector<const std::uint8_t*>& inputs,
            std::uint8_t* output, std::size_t count);

}  // namespace accel_ranks
