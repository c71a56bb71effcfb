#include "accel_sim/ranks/rendezvous.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <random>
#include <thread>

#include "accel_sim/ranks/failure.hpp"
#include "accel_sim/ranks/vendor.hpp"
#include "accel_sim/ranks/wire.hpp"

namespace accel_ranks {
namespace {

constexpr char kRootMagic[16] = "accel-sim-rank1";

struct JoinRecord {
  char magic[16];
  std::uint32_t ranks;
  std::uint32_t rank;
  std::uint64_t timeout_ms;
  char name[kNameLength];
};

struct AnswerRecord {
  Problem problem;  // none: the sockets follow
  char name[kNameLength];
  char text[512];
};

void copy_text(char* target, std::size_t size, const std::string& text) {
  std::snprintf(target, size, "%s", text.c_str());
}

// --- the root's side ------------------------------------------------------------------------------

struct Guest {
  int socket = -1;
  JoinRecord record{};
};

class Root {
 public:
  explicit Root(int listener) : listener_(listener) {}

  void serve() {
    try {
      gather();
      connect_all();
    } catch (const RankFailure& failure) {
      refuse(failure.problem, failure.what());
    }
    for (Guest& guest : guests_) close_socket(guest.socket);
    close_socket(listener_);
  }

 private:
  void gather() {
    Deadline deadline = Deadline::max();  // counted from the first rank's arrival
    while (ranks_ == 0 || guests_.size() < ranks_) {
      std::vector<pollfd> entries{{listener_, POLLIN, 0}};
      for (const Guest& guest : guests_) entries.push_back({guest.socket, POLLIN, 0});
      const int ready = poll(entries.data(), entries.size(), 100);
      if (ready < 0 && errno != EINTR) {
        throw RankFailure(Problem::system, "poll at the root failed");
      }
      for (std::size_t i = 1; i < entries.size(); ++i) {
        if (entries[i].revents != 0) {
          const std::uint32_t rank = guests_[i - 1].record.rank;
          close_socket(guests_[i - 1].socket);
          guests_.erase(guests_.begin() + static_cast<std::ptrdiff_t>(i - 1));
          throw RankFailure(Problem::remote, "rank " + std::to_string(rank) +
                                               " went away before all ranks had joined");
        }
      }
      if (entries[0].revents != 0) admit(deadline);
      if (Clock::now() > deadline) throw RankFailure(Problem::timeout, missing());
    }
  }

  void admit(Deadline& deadline) {
    Guest guest;
    guest.socket = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (guest.socket < 0) return;
    if (!read_all(guest.socket, &guest.record, sizeof guest.record,
                  deadline_after(std::chrono::seconds(10))) ||
        std::memcmp(guest.record.magic, kRootMagic, sizeof kRootMagic) != 0) {
      close_socket(guest.socket);  // somebody else's connection
      return;
    }
    guests_.push_back(guest);
    const JoinRecord& record = guests_.back().record;
    const std::string who = "rank " + std::to_string(record.rank);
    if (ranks_ == 0) {
      ranks_ = record.ranks;
      deadline = deadline_after(std::chrono::milliseconds(record.timeout_ms));
    }
    if (record.ranks != ranks_) {
      throw RankFailure(Problem::argument, who + " joins " + std::to_string(record.ranks) +
                                         " ranks, rank " + std::to_string(guests_[0].record.rank) +
                                         " joins " + std::to_string(ranks_));
    }
    for (std::size_t i = 0; i + 1 < guests_.size(); ++i) {
      if (guests_[i].record.rank == record.rank) {
        throw RankFailure(Problem::argument, "two processes joined as " + who);
      }
      if (std::strcmp(guests_[i].record.name, record.name) != 0) {
        throw RankFailure(Problem::argument, std::string(vendor().words.group_name) + " is '" +
                                                 record.name + "' on " + who + " and '" +
                                                 guests_[i].record.name + "' on rank " +
                                                 std::to_string(guests_[i].record.rank));
      }
    }
  }

  std::string missing() const {
    std::string text;
    for (std::uint32_t rank = 0; rank < ranks_; ++rank) {
      bool here = false;
      for (const Guest& guest : guests_) here = here || guest.record.rank == rank;
      if (!here) text += (text.empty() ? "" : ", ") + std::to_string(rank);
    }
    return "of " + std::to_string(ranks_) + " ranks these did not join in time: " + text +
           vendor().words.connect_limit;
  }

  void connect_all() {
    std::vector<std::vector<int>> sockets(ranks_, std::vector<int>(ranks_, -1));
    for (std::uint32_t i = 0; i < ranks_; ++i) {
      for (std::uint32_t j = i + 1; j < ranks_; ++j) {
        const SocketPair pair = socket_pair();
        sockets[i][j] = pair.first;
        sockets[j][i] = pair.second;
      }
    }
    AnswerRecord answer{};
    answer.problem = Problem::none;
    const std::string name = guests_[0].record.name;
    copy_text(answer.name, sizeof answer.name, name.empty() ? unique_name() : name);
    const Deadline deadline = deadline_after(std::chrono::seconds(10));
    for (Guest& guest : guests_) {
      std::vector<int> row;
      for (const int socket : sockets[guest.record.rank]) {
        if (socket >= 0) row.push_back(socket);
      }
      try {
        if (write_all(guest.socket, &answer, sizeof answer, deadline)) {
          send_sockets(guest.socket, row, deadline);
        }
      } catch (const RankFailure&) {  // that rank died: its peers will see its sockets closed
      }
    }
    for (auto& row : sockets) {
      for (int& socket : row) close_socket(socket);
    }
  }

  void refuse(Problem problem, const std::string& text) {
    AnswerRecord answer{};
    answer.problem = problem;
    copy_text(answer.text, sizeof answer.text, text);
    for (Guest& guest : guests_) {
      try {
        write_all(guest.socket, &answer, sizeof answer, deadline_after(std::chrono::seconds(1)));
      } catch (const RankFailure&) {
      }
    }
  }

  int listener_;
  std::uint32_t ranks_ = 0;
  std::vector<Guest> guests_;
};

void start_root(int listener) {
  std::thread([listener] { Root(listener).serve(); }).detach();
}

// --- a rank's side --------------------------------------------------------------------------------

Joined ask(int socket, const Joining& joining) {
  JoinRecord record{};
  std::memcpy(record.magic, kRootMagic, sizeof kRootMagic);
  record.ranks = joining.ranks;
  record.rank = joining.rank;
  record.timeout_ms = static_cast<std::uint64_t>(joining.timeout.count());
  copy_text(record.name, sizeof record.name, joining.name);
  // The root answers when its own limit passes: this one is only for a root that is stopped.
  const Deadline deadline = deadline_after(joining.timeout + std::chrono::seconds(10));
  AnswerRecord answer{};
  if (!write_all(socket, &record, sizeof record, deadline) ||
      !read_all(socket, &answer, sizeof answer, deadline)) {
    throw RankFailure(Problem::connect, "the root rank went away while the ranks were joining");
  }
  if (answer.problem != Problem::none) {
    throw RankFailure(answer.problem, answer.text);
  }
  Joined joined{answer.name, receive_sockets(socket, joining.ranks - 1, deadline)};
  joined.sockets.insert(joined.sockets.begin() + joining.rank, -1);
  return joined;
}

Joined ask_and_close(int socket, const Joining& joining) {
  try {
    Joined joined = ask(socket, joining);
    close_socket(socket);
    return joined;
  } catch (...) {
    close_socket(socket);
    throw;
  }
}

void check(const Joining& joining) {
  if (joining.ranks == 0 || joining.rank >= joining.ranks) {
    throw RankFailure(Problem::argument, "rank " + std::to_string(joining.rank) +
                                       " is not below the number of ranks, " +
                                       std::to_string(joining.ranks));
  }
  if (joining.ranks > kMostRanks) {
    throw RankFailure(Problem::not_supported, "the simulator joins at most " +
                                              std::to_string(kMostRanks) + " ranks, not " +
                                              std::to_string(joining.ranks));
  }
}

}  // namespace

std::string unique_name() {
  std::random_device source;
  char text[64];
  std::snprintf(text, sizeof text, "accel-sim-ranks-%d-%08x%08x", static_cast<int>(getpid()),
                source(), source());
  return text;
}

RootRecord make_root() {
  RootRecord record{};
  std::memcpy(record.magic, kRootMagic, sizeof kRootMagic);
  const std::string name = unique_name();
  copy_text(record.address, sizeof record.address, name);
  const int listener = listen_at(name);
  if (listener < 0) throw RankFailure(Problem::internal, "the address " + name + " is in use");
  start_root(listener);
  return record;
}

Joined join(const RootRecord& record, const Joining& joining) {
  check(joining);
  if (std::memcmp(record.magic, kRootMagic, sizeof kRootMagic) != 0 ||
      std::memchr(record.address, 0, sizeof record.address) == nullptr) {
    throw RankFailure(Problem::argument, std::string(vendor().words.root_record) +
                                             " was not made by " + vendor().words.root_function +
                                             " of this simulator");
  }
  const int socket = connect_to(record.address);
  if (socket < 0) {
    throw RankFailure(Problem::connect,
                      std::string("nobody answers at the root: its process is gone, or this ") +
                          vendor().words.root_record +
                          " was used before (each communicator needs its own)");
  }
  return ask_and_close(socket, joining);
}

Joined join_by_name(const std::string& address, const Joining& joining) {
  check(joining);
  const Deadline deadline = deadline_after(joining.timeout);
  if (joining.rank == 0) {
    const int listener = listen_at(address);
    if (listener < 0) {
      throw RankFailure(Problem::unavailable,
                        "another process has joined as rank 0 of this rank table");
    }
    start_root(listener);
  }
  for (;;) {
    const int socket = connect_to(address);
    if (socket >= 0) return ask_and_close(socket, joining);
    if (Clock::now() > deadline) {
      throw RankFailure(Problem::timeout,
                        std::string("rank 0 did not come in time") + vendor().words.connect_limit);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

std::vector<Joined> join_here(std::uint32_t ranks, const std::string& name) {
  check({ranks, 0, name, {}});
  std::vector<Joined> all(ranks, Joined{name, std::vector<int>(ranks, -1)});
  for (std::uint32_t i = 0; i < ranks; ++i) {
    for (std::uint32_t j = i + 1; j < ranks; ++j) {
      const SocketPair pair = socket_pair();
      all[i].sockets[j] = pair.first;
      all[j].sockets[i] = pair.second;
    }
  }
  return all;
}

}  // namespace accel_ranks
