// How a problem is cut into rows and tiles, and its two ways.
#pragma once

#include "problem.hpp"

namespace accel_cpu::quantize {

// Elements that are worth a thread: some 10 us of work.
constexpr std::int64_t kGrainElements = std::int64_t{1} << 15;

// All axes but the channels, as rows.
std::vector<Dim> row_dims(const Problem& problem);

// Rows that are worth a thread.
std::size_t rows_of_grain(const Problem& problem);

// Rows that a tile takes together: more than one if they are short, and lie one after another.
std::int64_t rows_in_tile(const Problem& problem);

// The same work with longer rows, each a tile of rows_in_tile(): those that fill tiles, and the rest
// (without tokens if there is none). Scales for each token become scales for groups of channels;
// scales for channels repeat every `period` channels of a row.
struct Joined {
  Problem most, rest;
  std::int64_t period = 0;  // the channels as they were
};
Joined join_short_rows(const Problem& problem);

void quantize_by_token(const Problem& problem);  // and by group
void quantize_by_channel(const Problem& problem);

}  // namespace accel_cpu::quantize
