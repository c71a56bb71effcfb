// How the communicators of a clique come about, in one process or in several.
#pragma once

#include <vector>

#include "exports.hpp"

namespace accel_cncl {

/// Starts a root in this process and writes how to reach it.
void make_clique(cnclCliqueId& id);

/// One communicator for each entry of the lists, which have a length. They join at a time, so that
/// the ranks of a clique may be in any processes. `id` nullptr: all ranks are in these lists.
/// Throws argument for a list that cannot be, connect or timeout when the others do not come.
std::vector<cnclComm_t> join_clique(const std::vector<int>& devices, const std::vector<int>& ranks,
                                    int all, const cnclCliqueId* id);

}  // namespace accel_cncl
