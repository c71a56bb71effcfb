// How the ranks of a communicator find each other: one of them, the root, connects all to all.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "abi.hpp"

namespace accel_hccl {

/// The most ranks that one communicator of the simulator joins: the chips of the largest 910B server.
constexpr std::uint32_t kMostRanks = 16;

/// What a rank brings, and what it must have in common with the others.
struct Joining {
  std::uint32_t ranks;
  std::uint32_t rank;
  std::string name;  // of the communicator; empty: the root chooses
  std::chrono::milliseconds timeout;
};

struct Joined {
  std::string name;
  std::vector<int> sockets;  // one for each rank; -1 for this rank itself
};

/// Starts a root in this process (a thread that ends when all ranks have joined, or on a timeout)
/// and writes how to reach it.
void make_root(HcclRootInfo& info);

/// Joins the root that `info` names. Throws HCCL_E_PARA when `info` is none, HCCL_E_TCP_CONNECT when
/// the root's process is gone, HCCL_E_TIMEOUT naming the ranks that did not come.
Joined join(const HcclRootInfo& info, const Joining& joining);

/// Joins by a name that all ranks can work out (a rank table's): rank 0 is the root.
Joined join_by_name(const std::string& address, const Joining& joining);

/// The communicators of one process: no root is needed.
std::vector<Joined> join_here(std::uint32_t ranks, const std::string& name);

/// A name that no other communicator of this machine has.
std::string unique_name();

}  // namespace accel_hccl
