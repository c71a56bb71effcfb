#include "accel_sim/ranks/messages.hpp"

#include <cstring>
#include <set>
#include <utility>

#include "accel_sim/memory.hpp"
#include "accel_sim/modes.hpp"
#include "accel_sim/ranks/operations.hpp"
#include "accel_sim/ranks/vendor.hpp"
#include "accel_sim/streams.hpp"
#include "buffers.hpp"

namespace accel_ranks {
namespace {

// What a sender tells before it sends.
struct Offer {
  DataType type;
  std::uint32_t unused;
  std::uint64_t count;
};

enum class Stage { kOffered, kTaken, kDone };

std::size_t size_of(const Message& message) {
  return message.count * element_size(message.type);
}

std::string describe(const Message& message) {
  return std::string(message.sends ? "the send to rank " : "the receive from rank ") +
         std::to_string(message.peer);
}

std::string amount(std::uint64_t count, DataType type) {
  return std::to_string(count) + " elements of " + type_name(type);
}

// The messages of one call, all under way at a time. A send is offered, taken by the peer's receive
// and then sent; a receive finds the offer, takes it (or refuses) and then gets the data.
class Meeting {
 public:
  Meeting(Communicator& communicator, const std::vector<Message>& messages,
          const Communicator::Numbers& numbers, Deadline deadline)
      : mesh_(communicator.mesh()),
        messages_(messages),
        numbers_(numbers),
        deadline_(deadline),
        stages_(messages.size(), Stage::kOffered) {}

  void run() {
    exchange_own();
    for (std::size_t i = 0; i < messages_.size(); ++i) {
      if (stages_[i] == Stage::kDone || !messages_[i].sends) continue;
      const Offer offer{messages_[i].type, 0, messages_[i].count};
      mesh_.send(messages_[i].peer, tag(FrameKind::kOffer, i), &offer, sizeof offer, deadline_);
    }
    for (;;) {
      const std::uint64_t seen = mesh_.changes();
      bool progress = false;
      bool open = false;
      for (std::size_t i = 0; i < messages_.size(); ++i) {
        if (stages_[i] == Stage::kDone) continue;
        progress = (messages_[i].sends ? step_send(i) : step_receive(i)) || progress;
        open = open || stages_[i] != Stage::kDone;
      }
      if (!open) return;
      if (!progress && !mesh_.wait_change(seen, deadline_)) give_up();
    }
  }

 private:
  Tag tag(FrameKind kind, std::size_t i) const { return {kind, 0, numbers_[i]}; }

  // Messages of a rank to itself: the i-th send meets the i-th receive of the same call.
  void exchange_own() {
    std::vector<std::size_t> sends;
    std::vector<std::size_t> receives;
    for (std::size_t i = 0; i < messages_.size(); ++i) {
      if (messages_[i].peer != mesh_.rank()) continue;
      (messages_[i].sends ? sends : receives).push_back(i);
    }
    for (std::size_t i = 0; i < sends.size(); ++i) {  // as many receives: checked at the call
      const Message& from = messages_[sends[i]];
      const Message& into = messages_[receives[i]];
      compare(Offer{from.type, 0, from.count}, into);
      std::memmove(accel_sim::host_of(into.buffer, size_of(into)),
                   accel_sim::host_of(from.buffer, size_of(from)), size_of(from));
      stages_[sends[i]] = stages_[receives[i]] = Stage::kDone;
    }
  }

  bool step_send(std::size_t i) {
    const Message& message = messages_[i];
    const std::optional<Bytes> answer = mesh_.poll(message.peer, tag(FrameKind::kTake, i));
    if (!answer) return false;
    if (!answer->empty()) {
      throw RankFailure(Problem::argument, std::string(answer->begin(), answer->end()));
    }
    const std::size_t bytes = size_of(message);
    mesh_.send(message.peer, tag(FrameKind::kMessage, i), accel_sim::host_of(message.buffer, bytes),
               bytes, deadline_);
    stages_[i] = Stage::kDone;
    return true;
  }

  bool step_receive(std::size_t i) {
    const Message& message = messages_[i];
    if (stages_[i] == Stage::kOffered) {
      const std::optional<Bytes> offered = mesh_.poll(message.peer, tag(FrameKind::kOffer, i));
      if (!offered) return false;
      Offer offer{};
      std::memcpy(&offer, offered->data(), std::min(sizeof offer, offered->size()));
      try {
        compare(offer, message);
      } catch (const RankFailure& failure) {
        const std::string text = failure.what();
        mesh_.send(message.peer, tag(FrameKind::kTake, i), text.data(), text.size(), deadline_);
        throw;
      }
      accel_sim::host_of(message.buffer, size_of(message));  // fails before the data is asked for
      mesh_.send(message.peer, tag(FrameKind::kTake, i), nullptr, 0, deadline_);
      stages_[i] = Stage::kTaken;
    }
    const std::optional<Bytes> data = mesh_.poll(message.peer, tag(FrameKind::kMessage, i));
    if (!data) return false;
    if (!data->empty()) {
      std::memcpy(accel_sim::host_of(message.buffer, data->size()), data->data(), data->size());
    }
    stages_[i] = Stage::kDone;
    return true;
  }

  void compare(const Offer& offer, const Message& receive) const {
    if (offer.count == receive.count && offer.type == receive.type) return;
    throw RankFailure(Problem::argument, "the ranks' calls do not match: rank " +
                                       std::to_string(receive.peer) + " sends " +
                                       amount(offer.count, offer.type) + " to rank " +
                                       std::to_string(mesh_.rank()) + ", which receives " +
                                       amount(receive.count, receive.type));
  }

  [[noreturn]] void give_up() const {
    std::string text;
    for (std::size_t i = 0; i < messages_.size(); ++i) {
      if (stages_[i] == Stage::kDone) continue;
      text += (text.empty() ? "" : "; ") + describe(messages_[i]);
      text += messages_[i].sends ? " was not taken in time" : " got nothing in time";
      if (messages_[i].sends && mesh_.has(messages_[i].peer, FrameKind::kOffer)) {
        text += ", that rank waits in a send to this one";
      } else if (mesh_.has(messages_[i].peer, FrameKind::kCall)) {
        text += ", that rank waits in a collective";
      }
    }
    throw RankFailure(Problem::timeout, text + vendor().words.call_limit);
  }

  Mesh& mesh_;
  const std::vector<Message>& messages_;
  const Communicator::Numbers& numbers_;
  const Deadline deadline_;
  std::vector<Stage> stages_;
};

void check(const Communicator& communicator, Operation operation,
           const std::vector<Message>& messages) {
  const std::string call = operation_name(operation);
  std::size_t own_sends = 0;
  std::size_t own_receives = 0;
  std::set<std::pair<bool, std::uint32_t>> met;
  for (const Message& message : messages) {
    if (message.peer >= communicator.size()) {
      throw RankFailure(Problem::argument, call + ": the peer " + std::to_string(message.peer) +
                                         " is not below the " +
                                         std::to_string(communicator.size()) + " ranks");
    }
    if (message.count > 0) check_pointer(vendor().words.buffer, message.buffer);
    check_buffers(operation, message.type, nullptr, {{vendor().words.buffer, message.buffer}});
    if (message.peer == communicator.rank()) ++(message.sends ? own_sends : own_receives);
    if (!met.emplace(message.sends, message.peer).second && vendor().one_message_each &&
        accel_sim::modes().strict) {
      throw RankFailure(Problem::argument, call + " has two messages " +
                                         (message.sends ? "to" : "from") + " rank " +
                                         std::to_string(message.peer) +
                                         ": " + vendor().words.library +
                                         " allows one of each in a call (strict mode)");
    }
  }
  if (own_sends != own_receives) {
    throw RankFailure(Problem::argument,
                      call + ": rank " + std::to_string(communicator.rank()) + " has " +
                          std::to_string(own_sends) + " sends to itself and " +
                          std::to_string(own_receives) + " receives from itself");
  }
}

}  // namespace

void launch_messages(const CommunicatorPointer& communicator, Operation operation,
                     std::vector<Message> messages, void* stream_handle) {
  accel_sim::Stream& stream = checked_stream(*communicator, operation, stream_handle);
  communicator->check_alive();
  check(*communicator, operation, messages);
  std::uint64_t bytes = 0;
  for (const Message& message : messages) bytes += size_of(message);
  Communicator* const raw = communicator.get();  // the task holds a reference
  auto number = [raw, messages] {
    Communicator::Numbers numbers;
    for (const Message& message : messages) {
      numbers.push_back(message.sends ? raw->next_send(message.peer)
                                      : raw->next_receive(message.peer));
    }
    return numbers;
  };
  communicator->submit(stream, operation, bytes, std::move(number),
                       [raw, messages](const Communicator::Numbers& numbers) {
                         Meeting(*raw, messages, numbers, raw->call_deadline()).run();
                       });
}

}  // namespace accel_ranks
