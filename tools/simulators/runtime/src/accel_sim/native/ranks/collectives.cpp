#include "accel_sim/ranks/collectives.hpp"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "accel_sim/memory.hpp"
#include "accel_sim/modes.hpp"
#include "accel_sim/ranks/vendor.hpp"
#include "accel_sim/streams.hpp"
#include "buffers.hpp"
#include "reduce.hpp"

namespace accel_ranks {
namespace {

struct Piece {
  const std::uint8_t* data = nullptr;
  std::size_t bytes = 0;
};

struct Target {
  std::uint8_t* data = nullptr;
  std::size_t bytes = 0;
};

std::uint8_t* bytes_at(const void* pointer, std::size_t bytes) {
  return static_cast<std::uint8_t*>(accel_sim::host_of(pointer, bytes));
}

// One collective while it moves data: outgoing[i] goes to rank i, incoming[i] comes from there.
class Exchange {
 public:
  Exchange(Communicator& communicator, std::uint64_t number, Deadline deadline)
      : mesh_(communicator.mesh()), number_(number), deadline_(deadline) {}

  // Everything is sent before anything is written, so that buffers may be shared. This rank's own
  // piece is copied.
  void move(const std::vector<Piece>& outgoing, const std::vector<Target>& incoming) {
    const std::vector<Bytes> received = trade(outgoing, incoming);
    const std::uint32_t me = mesh_.rank();
    if (outgoing[me].bytes > 0 && incoming[me].bytes > 0) {
      std::memmove(incoming[me].data, outgoing[me].data, outgoing[me].bytes);
    }
    for (std::uint32_t peer = 0; peer < mesh_.size(); ++peer) {
      if (peer == me || incoming[peer].bytes == 0) continue;
      std::memcpy(incoming[peer].data, received[peer].data(), incoming[peer].bytes);
    }
  }

  // As move(), but what came is reduced into `output` with this rank's own piece, in rank order.
  void reduce_into(const std::vector<Piece>& outgoing, std::uint8_t* output, std::size_t count,
                   const CollectiveCall& call) {
    const std::uint32_t me = mesh_.rank();
    const std::size_t bytes = count * element_size(call.type);
    std::vector<Target> incoming(mesh_.size(), Target{nullptr, bytes});
    const std::vector<Bytes> received = trade(outgoing, incoming);
    std::vector<const std::uint8_t*> inputs(mesh_.size());
    for (std::uint32_t peer = 0; peer < mesh_.size(); ++peer) {
      inputs[peer] = peer == me ? outgoing[me].data : received[peer].data();
    }
    if (count > 0) reduce(call.reduction, call.type, inputs, output, count);
  }

 private:
  std::vector<Bytes> trade(const std::vector<Piece>& outgoing,
                           const std::vector<Target>& incoming) {
    const std::uint32_t ranks = mesh_.size();
    const Tag tag{FrameKind::kData, phase_++, number_};
    for (std::uint32_t step = 1; step < ranks; ++step) {
      const std::uint32_t peer = (mesh_.rank() + step) % ranks;
      if (outgoing[peer].bytes == 0) continue;
      mesh_.send(peer, tag, outgoing[peer].data, outgoing[peer].bytes, deadline_);
    }
    std::vector<Bytes> received(ranks);
    for (std::uint32_t peer = 0; peer < ranks; ++peer) {
      if (peer == mesh_.rank() || incoming[peer].bytes == 0) continue;
      received[peer] = mesh_.receive(peer, tag, deadline_, [&] {
        return "rank " + std::to_string(peer) + " sent no data in time" + vendor().words.call_limit;
      });
      if (received[peer].size() != incoming[peer].bytes) {
        throw RankFailure(Problem::internal, "rank " + std::to_string(peer) + " sent " +
                                               std::to_string(received[peer].size()) +
                                               " bytes instead of " +
                                               std::to_string(incoming[peer].bytes));
      }
    }
    return received;
  }

  Mesh& mesh_;
  const std::uint64_t number_;
  const Deadline deadline_;
  std::uint32_t phase_ = 0;
};

// Each rank reduces its share, then all share what they reduced.
void all_reduce(Communicator& communicator, const CollectiveCall& call, Exchange& exchange) {
  const std::uint32_t ranks = communicator.size();
  const std::size_t size = element_size(call.type);
  const std::uint8_t* send = bytes_at(call.send, call.count * size);
  std::uint8_t* receive = bytes_at(call.receive, call.count * size);
  const auto begin = [&](std::uint64_t rank) { return call.count * rank / ranks; };
  std::vector<Piece> outgoing(ranks);
  for (std::uint32_t i = 0; i < ranks; ++i) {
    outgoing[i] = {send + begin(i) * size, (begin(i + 1) - begin(i)) * size};
  }
  const std::uint32_t me = communicator.rank();
  const std::size_t mine = begin(me + 1) - begin(me);
  Bytes share(mine * size);
  exchange.reduce_into(outgoing, share.data(), mine, call);
  std::vector<Target> incoming(ranks);
  for (std::uint32_t i = 0; i < ranks; ++i) {
    incoming[i] = {receive + begin(i) * size, outgoing[i].bytes};
  }
  exchange.move(std::vector<Piece>(ranks, Piece{share.data(), share.size()}), incoming);
}

void reduce_to_root(Communicator& communicator, const CollectiveCall& call, Exchange& exchange) {
  const std::uint32_t ranks = communicator.size();
  const std::size_t bytes = call.count * element_size(call.type);
  const std::uint8_t* send = bytes_at(call.send, bytes);
  std::vector<Piece> outgoing(ranks);
  if (communicator.rank() != call.root) {
    outgoing[call.root] = {send, bytes};
    exchange.move(outgoing, std::vector<Target>(ranks));
    return;
  }
  outgoing[call.root] = {send, 0};  // its own, read in place
  exchange.reduce_into(outgoing, bytes_at(call.receive, bytes), call.count, call);
}

void broadcast(Communicator& communicator, const CollectiveCall& call, Exchange& exchange) {
  const std::uint32_t ranks = communicator.size();
  const std::size_t bytes = call.count * element_size(call.type);
  std::vector<Piece> outgoing(ranks);
  std::vector<Target> incoming(ranks);
  incoming[call.root] = {bytes_at(call.receive, bytes), bytes};
  if (communicator.rank() == call.root) {
    std::fill(outgoing.begin(), outgoing.end(), Piece{bytes_at(call.send, bytes), bytes});
  }
  exchange.move(outgoing, incoming);
}

void scatter(Communicator& communicator, const CollectiveCall& call, Exchange& exchange) {
  const std::uint32_t ranks = communicator.size();
  const std::size_t bytes = call.count * element_size(call.type);
  std::vector<Piece> outgoing(ranks);
  std::vector<Target> incoming(ranks);
  incoming[call.root] = {bytes_at(call.receive, bytes), bytes};
  if (communicator.rank() == call.root) {
    const std::uint8_t* send = bytes_at(call.send, bytes * ranks);
    for (std::uint32_t i = 0; i < ranks; ++i) outgoing[i] = {send + i * bytes, bytes};
  }
  exchange.move(outgoing, incoming);
}

// Rank r's piece goes to all, at receive_at[r].
void all_gather(Communicator& communicator, const CollectiveCall& call, Exchange& exchange) {
  const std::uint32_t ranks = communicator.size();
  const std::size_t size = element_size(call.type);
  std::vector<Target> incoming(ranks);
  for (std::uint32_t i = 0; i < ranks; ++i) {
    const std::size_t bytes = call.receive_counts[i] * size;
    incoming[i] = {bytes_at(call.receive_at[i], bytes), bytes};
  }
  const std::size_t mine = call.receive_counts[communicator.rank()] * size;
  exchange.move(std::vector<Piece>(ranks, Piece{bytes_at(call.send, mine), mine}), incoming);
}

// The pieces at send_at[r] of all are reduced on rank r.
void reduce_scatter(Communicator& communicator, const CollectiveCall& call, Exchange& exchange) {
  const std::uint32_t ranks = communicator.size();
  const std::size_t size = element_size(call.type);
  std::vector<Piece> outgoing(ranks);
  for (std::uint32_t i = 0; i < ranks; ++i) {
    const std::size_t bytes = call.send_counts[i] * size;
    outgoing[i] = {bytes_at(call.send_at[i], bytes), bytes};
  }
  const std::size_t mine = call.send_counts[communicator.rank()];
  exchange.reduce_into(outgoing, bytes_at(call.receive, mine * size), mine, call);
}

void all_to_all(Communicator& communicator, const CollectiveCall& call, Exchange& exchange) {
  const std::uint32_t ranks = communicator.size();
  const std::size_t send_size = element_size(call.type);
  const std::size_t receive_size = element_size(call.receive_type);
  std::vector<Piece> outgoing(ranks);
  std::vector<Target> incoming(ranks);
  for (std::uint32_t i = 0; i < ranks; ++i) {
    const std::size_t out = call.send_counts[i] * send_size;
    const std::size_t in = call.receive_counts[i] * receive_size;
    outgoing[i] = {bytes_at(call.send_at[i], out), out};
    incoming[i] = {bytes_at(call.receive_at[i], in), in};
  }
  exchange.move(outgoing, incoming);
}

std::uint64_t sum(const std::vector<std::uint64_t>& values) {
  std::uint64_t total = 0;
  for (const std::uint64_t value : values) total += value;
  return total;
}

// All that the call reads and writes. Pieces of a buffer are checked by its begin.
std::vector<NamedBuffer> buffers_of(const CollectiveCall& call) {
  const Words& words = vendor().words;
  std::vector<NamedBuffer> all{{words.send, call.send}, {words.receive, call.receive}};
  for (std::size_t i = 0; i < call.send_at.size() && call.send == nullptr; ++i) {
    if (call.send_counts[i] > 0) all.push_back({words.send, call.send_at[i]});
  }
  for (std::size_t i = 0; i < call.receive_at.size() && call.receive == nullptr; ++i) {
    if (call.receive_counts[i] > 0) all.push_back({words.receive, call.receive_at[i]});
  }
  return all;
}

// The fault "rank_dies": nothing of the process gets a chance to clean up.
void die_if_planned(std::uint32_t rank) {
  const accel_sim::Fault* planned = accel_sim::fault("rank_dies");
  if (planned == nullptr) return;
  if (planned->rank >= 0 && static_cast<std::uint32_t>(planned->rank) != rank) return;
  kill(getpid(), SIGKILL);
}

}  // namespace

void perform(Communicator& communicator, const CollectiveCall& call, std::uint64_t number,
             Deadline deadline) {
  Exchange exchange(communicator, number, deadline);
  switch (call.operation) {
    case Operation::kAllReduce: return all_reduce(communicator, call, exchange);
    case Operation::kReduce: return reduce_to_root(communicator, call, exchange);
    case Operation::kBroadcast: return broadcast(communicator, call, exchange);
    case Operation::kScatter: return scatter(communicator, call, exchange);
    case Operation::kAllGather:
    case Operation::kAllGatherV: return all_gather(communicator, call, exchange);
    case Operation::kReduceScatter:
    case Operation::kReduceScatterV: return reduce_scatter(communicator, call, exchange);
    case Operation::kAlltoAll:
    case Operation::kAlltoAllV:
    case Operation::kAlltoAllVC: return all_to_all(communicator, call, exchange);
    default: return;  // a barrier is the agreement alone
  }
}

void launch(const CommunicatorPointer& communicator, CollectiveCall call, void* stream_handle) {
  accel_sim::Stream& stream = checked_stream(*communicator, call.operation, stream_handle);
  communicator->check_alive();
  if (call.operation != Operation::kBarrier) {
    check_buffers(call.operation, call.type, call.reduces ? &call.reduction : nullptr,
                  buffers_of(call));
  }
  if (call.root >= communicator->size()) {
    throw RankFailure(Problem::argument, std::string(operation_name(call.operation)) + ": root " +
                                       std::to_string(call.root) + " is not below the " +
                                       std::to_string(communicator->size()) + " ranks");
  }
  const std::uint64_t elements =
      std::max(call.count, std::max(sum(call.send_counts), sum(call.receive_counts)));
  const std::uint64_t bytes = elements * element_size(call.type);
  Communicator* const raw = communicator.get();  // the task holds a reference
  communicator->submit(
      stream, call.operation, bytes,
      [raw] { return Communicator::Numbers{raw->next_collective()}; },
      [raw, call = std::move(call)](const Communicator::Numbers& numbers) {
        die_if_planned(raw->rank());
        const Deadline deadline = raw->call_deadline();
        agree(*raw, call, numbers[0], deadline);
        perform(*raw, call, numbers[0], deadline);
      });
}

}  // namespace accel_ranks
