// How a problem is split over threads, and its two ways.
#pragma once

#include "problem.hpp"

namespace accel_cpu::quantize {

// Elements that are worth a thread: some 10 us of work.
constexpr std::int64_t kGrainElements = std::int64_t{1} << 15;

// All axes but the channels, as rows.
std::vector<Dim> row_dims(const Problem& problem);

// Rows that are worth a thread.
std::size_t rows_of_grain(const Problem& problem);

void quantize_by_token(const Problem& problem);  // and by group
void quantize_by_channel(const Problem& problem);

}  // namespace accel_cpu::quantize
