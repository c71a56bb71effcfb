#include "cliques.hpp"

#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "accel_sim/devices.hpp"
#include "accel_sim/ranks/rendezvous.hpp"

namespace accel_cncl {
namespace {

using accel_ranks::Joined;
using accel_ranks::RootRecord;

static_assert(sizeof(RootRecord) <= sizeof(cnclCliqueId::data));

// CNCL documents no limit of its own: a call waits until its communicator is aborted.
accel_ranks::Times times_from_environment() {
  using accel_ranks::time_from_environment;
  accel_ranks::Times times;
  times.connect = time_from_environment("CNCL_SIM_CONNECT_TIMEOUT", times.connect, 1000);
  times.execute = time_from_environment("CNCL_SIM_CALL_TIMEOUT", times.execute, 1000);
  times.death = time_from_environment("CNCL_SIM_DEATH_MS", times.death, 1);
  times.destroy = time_from_environment("CNCL_SIM_DESTROY_MS", times.destroy, 1);
  return times;
}

std::uint64_t hash_of(const RootRecord& root) {
  return std::hash<std::string_view>()({root.address, strnlen(root.address, sizeof root.address)});
}

RootRecord record_of(const cnclCliqueId& id) {
  RootRecord record;
  std::memcpy(&record, id.data, sizeof record);
  if (hash_of(record) == id.hash) return record;
  throw RankFailure(Problem::argument,
                    "clique_id was not made by cnclGetCliqueId of this simulator, or was carried "
                    "to this rank incompletely (it has 136 bytes: data and hash)");
}

void check(const std::vector<int>& devices, const std::vector<int>& ranks, int all, bool has_id) {
  std::set<int> used;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    accel_sim::device_at(devices[i]);
    const std::string what = "rank_list[" + std::to_string(i) + "] is " + std::to_string(ranks[i]);
    if (ranks[i] < 0 || ranks[i] >= all) {
      throw RankFailure(Problem::argument,
                        what + ", it must be below nrank, which is " + std::to_string(all));
    }
    if (!used.insert(ranks[i]).second) throw RankFailure(Problem::argument, what + " twice");
  }
  if (has_id || static_cast<int>(ranks.size()) == all) return;
  throw RankFailure(Problem::argument, "clique_id is null, so all " + std::to_string(all) +
                                           " ranks must be in this process, not " +
                                           std::to_string(ranks.size()));
}

// Each rank waits for all others: those of one process join on threads of their own.
std::vector<Joined> join_all(const std::vector<int>& ranks, int all, const RootRecord& root,
                             std::chrono::milliseconds limit) {
  std::vector<Joined> joined(ranks.size());
  std::vector<std::exception_ptr> failures(ranks.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    threads.emplace_back([&, i] {
      try {
        joined[i] = accel_ranks::join(root, {static_cast<std::uint32_t>(all),
                                             static_cast<std::uint32_t>(ranks[i]), "", limit});
      } catch (...) {
        failures[i] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  return joined;
}

std::vector<Joined> join_here(const std::vector<int>& ranks) {
  const auto count = static_cast<std::uint32_t>(ranks.size());
  std::vector<Joined> in_order = accel_ranks::join_here(count, accel_ranks::unique_name());
  std::vector<Joined> joined;
  for (const int rank : ranks)
    joined.push_back(std::move(in_order[static_cast<std::size_t>(rank)]));
  return joined;
}

}  // namespace

void make_clique(cnclCliqueId& id) {
  const RootRecord root = accel_ranks::make_root();
  std::memset(&id, 0, sizeof id);
  std::memcpy(id.data, &root, sizeof root);
  id.hash = hash_of(root);
}

std::vector<cnclComm_t> join_clique(const std::vector<int>& devices, const std::vector<int>& ranks,
                                    int all, const cnclCliqueId* id) {
  check(devices, ranks, all, id != nullptr);
  const accel_ranks::Times times = times_from_environment();
  std::vector<Joined> joined = id == nullptr
                                   ? join_here(ranks)
                                   : join_all(ranks, all, record_of(*id), times.connect);
  std::vector<cnclComm_t> made;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    made.push_back(accel_ranks::publish(std::make_shared<accel_ranks::Communicator>(
        std::move(joined[i]), static_cast<std::uint32_t>(ranks[i]), devices[i], times)));
  }
  return made;
}

}  // namespace accel_cncl
