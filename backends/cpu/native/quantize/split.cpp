#include "split.hpp"

#include <algorithm>

#include "elements.hpp"

namespace accel_cpu::quantize {
namespace {

// From one row to the next is as far as over all channels: values, codes, and scales if they are by
// channel or by group.
bool rows_adjoin(const Problem& problem) {
  const auto &tokens = problem.tokens.step, &channels = problem.channels.step;
  const std::int64_t n = problem.channels.extent;
  if (tokens[kValues] != n * channels[kValues]) return false;
  if (tokens[kCodes] != code_offset(problem.spec, n, channels[kCodes])) return false;
  if (problem.spec.axis == Axis::Token) return true;
  const bool by_channel = problem.spec.axis == Axis::Channel;
  const std::int64_t groups = by_channel ? 0 : n / problem.spec.group_size;
  for (int w = kScales; w < kOperands; ++w) {
    if (tokens[w] != groups * channels[w]) return false;
  }
  return true;
}

Problem joined(const Problem& problem, std::int64_t rows_each, std::int64_t tokens) {
  Problem made = problem;
  made.tokens.extent = tokens;
  for (auto& step : made.tokens.step) step *= rows_each;
  made.channels.extent *= rows_each;
  if (problem.spec.axis == Axis::Token) {
    made.spec.axis = Axis::Group;
    made.spec.group_size = problem.channels.extent;
    for (int w = kScales; w < kOperands; ++w) made.channels.step[w] = problem.tokens.step[w];
  }
  return made;
}

}  // namespace

std::vector<Dim> row_dims(const Problem& problem) {
  std::vector<Dim> dims = problem.outer;
  dims.push_back(problem.tokens);
  return merged(dims);
}

std::size_t rows_of_grain(const Problem& problem) {
  // A row costs some tens of elements' worth by itself.
  return static_cast<std::size_t>(
      std::max<std::int64_t>(1, kGrainElements / (problem.channels.extent + 32)));
}

std::int64_t rows_in_tile(const Problem& problem) {
  const std::int64_t n = problem.channels.extent, most = static_cast<std::int64_t>(kStage);
  return n == 0 || n > most / 2 || !rows_adjoin(problem) ? 1 : most / n;
}

Joined join_short_rows(const Problem& problem) {
  Joined made{problem, problem, problem.channels.extent};
  made.rest.tokens.extent = 0;
  std::vector<Dim> dims = row_dims(problem);
  if (dims.empty()) return made;
  Problem flat = problem;
  flat.tokens = dims.back();
  dims.pop_back();
  flat.outer = std::move(dims);
  const std::int64_t each = rows_in_tile(flat);
  if (each == 1) return made;
  const std::int64_t whole = flat.tokens.extent / each, left = flat.tokens.extent % each;
  made.most = joined(flat, each, whole);
  made.rest = joined(flat, std::max<std::int64_t>(left, 1), left > 0 ? 1 : 0);
  for (int w = 0; w < kOperands; ++w) made.rest.base[w] += whole * each * flat.tokens.step[w];
  return made;
}

void quantize(const Problem& problem) {
  if (problem.spec.axis == Axis::Channel) {
    quantize_by_channel(problem);
    return;
  }
  const Joined parts = join_short_rows(problem);
  quantize_by_token(parts.most);
  quantize_by_token(parts.rest);
}

}  // namespace accel_cpu::quantize
