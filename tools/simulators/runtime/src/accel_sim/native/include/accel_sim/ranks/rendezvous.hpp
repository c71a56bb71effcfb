// How the ranks of a communicator find each other: one of them, the root, connects all to all.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace accel_ranks __attribute__((visibility("default"))) {

/// The most ranks that one communicator of the simulator joins: the chips of the largest server
/// that a simulator poses as.
constexpr std::uint32_t kMostRanks = 16;
constexpr std::size_t kNameLength = 128;  // of a communicator's name, with the terminating zero

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

/// How to reach a root: plain bytes that the program carries to the other ranks.
struct RootRecord {
  char magic[16];
  char address[80];
};

/// Starts a root in this process (a thread that ends when all ranks have joined, or on a timeout)
/// and returns how to reach it.
RootRecord make_root();

/// Joins the root that the record names. Throws argument when it is none, connect when the root's
/// process is gone, timeout naming the ranks that did not come.
Joined join(const RootRecord& root, const Joining& joining);

/// Joins by a name that all ranks can work out (a rank table's): rank 0 is the root.
Joined join_by_name(const std::string& address, const Joining& joining);

/// The communicators of one process: no root is needed.
std::vector<Joined> join_here(std::uint32_t ranks, const std::string& name);

/// A name that no other communicator of this machine has.
std::string unique_name();

}  // namespace accel_ranks
