// The rank table: a JSON file that lists the ranks of a cluster.
#pragma once

#include <cstdint>
#include <string>

namespace accel_hccl {

struct RankTable {
  std::uint32_t ranks;
  std::string address;  // the same for all processes that read the same table
};

/// Throws file, or argument when the ranks are not 0, 1, ..., n - 1.
RankTable read_rank_table(const char* path);

}  // namespace accel_hccl
