// Before a collective moves data, every rank tells every other what it was called with. All see the
// same descriptions, so all come to the same verdict and none is left waiting.

#include <cstring>
#include <sstream>

#include "accel_sim/ranks/collectives.hpp"
#include "accel_sim/ranks/vendor.hpp"

namespace accel_ranks {
namespace {

struct Description {
  std::uint32_t operation;
  DataType type;
  DataType receive_type;
  std::int32_t reduction;  // -1: none
  std::uint32_t root;
  std::uint32_t lists;     // entries of each of the two lists that follow
  std::uint64_t count;
};

struct Described {
  Description fixed{};
  std::vector<std::uint64_t> send_counts;
  std::vector<std::uint64_t> receive_counts;
};

Bytes pack(const CollectiveCall& call, std::uint32_t ranks) {
  Description fixed{static_cast<std::uint32_t>(call.operation),
                    call.type,
                    call.receive_type,
                    call.reduces ? static_cast<std::int32_t>(call.reduction) : -1,
                    call.root,
                    ranks,
                    call.count};
  std::vector<std::uint64_t> lists = call.send_counts;
  lists.resize(ranks);
  lists.insert(lists.end(), call.receive_counts.begin(), call.receive_counts.end());
  lists.resize(2 * static_cast<std::size_t>(ranks));
  Bytes bytes(sizeof fixed + lists.size() * sizeof(std::uint64_t));
  std::memcpy(bytes.data(), &fixed, sizeof fixed);
  std::memcpy(bytes.data() + sizeof fixed, lists.data(), lists.size() * sizeof(std::uint64_t));
  return bytes;
}

Described unpack(const Bytes& bytes, std::uint32_t ranks) {
  Described described;
  if (bytes.size() != sizeof described.fixed + 2ull * ranks * sizeof(std::uint64_t)) {
    throw RankFailure(Problem::internal, "a rank's description of its call has a wrong size");
  }
  std::memcpy(&described.fixed, bytes.data(), sizeof described.fixed);
  const auto list = [&](std::uint32_t which) {
    std::vector<std::uint64_t> values(ranks);
    std::memcpy(values.data(),
                bytes.data() + sizeof described.fixed + which * ranks * sizeof(std::uint64_t),
                ranks * sizeof(std::uint64_t));
    return values;
  };
  described.send_counts = list(0);
  described.receive_counts = list(1);
  return described;
}

std::string operation_of(const Described& described) {
  return operation_name(static_cast<Operation>(described.fixed.operation));
}

std::string list_text(const std::vector<std::uint64_t>& values) {
  std::ostringstream text;
  text << '[';
  for (std::size_t i = 0; i < values.size(); ++i) text << (i == 0 ? "" : ", ") << values[i];
  text << ']';
  return text.str();
}

[[noreturn]] void disagree(const std::string& what, const std::string& first, std::uint32_t rank,
                           const std::string& other) {
  throw RankFailure(Problem::argument, "the ranks' calls do not match: " + what + " is " + first +
                                     " on rank 0 and " + other + " on rank " +
                                     std::to_string(rank));
}

std::string reduction_text(std::int32_t reduction) {
  return reduction < 0 ? "none" : reduction_name(static_cast<Reduction>(reduction));
}

void compare(const Described& first, const Described& other, std::uint32_t rank) {
  const Description& a = first.fixed;
  const Description& b = other.fixed;
  if (a.operation != b.operation) {
    disagree("the operation", operation_of(first), rank, operation_of(other));
  }
  if (a.type != b.type) {
    disagree(vendor().words.type, type_name(a.type), rank, type_name(b.type));
  }
  if (a.receive_type != b.receive_type) {
    disagree(vendor().words.receive_type, type_name(a.receive_type), rank,
             type_name(b.receive_type));
  }
  if (a.reduction != b.reduction) {
    disagree(vendor().words.reduction, reduction_text(a.reduction), rank,
             reduction_text(b.reduction));
  }
  if (a.root != b.root) disagree("root", std::to_string(a.root), rank, std::to_string(b.root));
  if (a.count != b.count) {
    disagree("count", std::to_string(a.count), rank, std::to_string(b.count));
  }
  switch (static_cast<Operation>(a.operation)) {
    case Operation::kAllGatherV:
      if (first.receive_counts != other.receive_counts) {
        disagree("the list of receive counts", list_text(first.receive_counts), rank,
                 list_text(other.receive_counts));
      }
      break;
    case Operation::kReduceScatterV:
      if (first.send_counts != other.send_counts) {
        disagree("the list of send counts", list_text(first.send_counts), rank,
                 list_text(other.send_counts));
      }
      break;
    default:
      break;
  }
}

// What rank i sends to rank j must be what j expects from i.
void compare_exchange(const std::vector<Described>& all) {
  const std::size_t send_size = element_size(all[0].fixed.type);
  const std::size_t receive_size = element_size(all[0].fixed.receive_type);
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < all.size(); ++j) {
      const std::uint64_t sent = all[i].send_counts[j] * send_size;
      const std::uint64_t expected = all[j].receive_counts[i] * receive_size;
      if (sent == expected) continue;
      throw RankFailure(Problem::argument,
                        "the ranks' calls do not match: rank " + std::to_string(i) + " sends " +
                            std::to_string(sent) + " bytes to rank " + std::to_string(j) +
                            ", which expects " + std::to_string(expected));
    }
  }
}

}  // namespace

void agree(Communicator& communicator, const CollectiveCall& call, std::uint64_t number,
           Deadline deadline) {
  Mesh& mesh = communicator.mesh();
  const std::uint32_t ranks = communicator.size();
  const Tag tag{FrameKind::kCall, 0, number};
  const Bytes mine = pack(call, ranks);
  for (std::uint32_t peer = 0; peer < ranks; ++peer) {
    if (peer != mesh.rank()) mesh.send(peer, tag, mine.data(), mine.size(), deadline);
  }
  std::vector<Described> all(ranks);
  for (std::uint32_t peer = 0; peer < ranks; ++peer) {
    if (peer == mesh.rank()) {
      all[peer] = unpack(mine, ranks);
      continue;
    }
    const Bytes theirs = mesh.receive(peer, tag, deadline, [&] {
      std::string text = "rank " + std::to_string(peer) + " did not make its call number " +
                         std::to_string(number + 1) + " of a collective in time";
      if (mesh.has(peer, FrameKind::kOffer)) {
        text += "; it waits in a send to this rank, which no receive takes";
      }
      return text + vendor().words.call_limit;
    });
    all[peer] = unpack(theirs, ranks);
  }
  for (std::uint32_t peer = 1; peer < ranks; ++peer) compare(all[0], all[peer], peer);
  if (call.operation == Operation::kAlltoAllV || call.operation == Operation::kAlltoAllVC ||
      call.operation == Operation::kAlltoAll) {
    compare_exchange(all);
  }
}

}  // namespace accel_ranks
