#include "accel_sim/ranks/communicator.hpp"

#include <pthread.h>

#include <cstdlib>
#include <utility>

#include "accel_sim/failure.hpp"
#include "accel_sim/ranks/vendor.hpp"
#include "accel_sim/streams.hpp"

namespace accel_ranks {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<void*, CommunicatorPointer> communicators;
};

void close_all_in_child();
void leave_at_exit();
bool forked = false;  // a lock that another thread held at the fork stays locked in the child

// Never destroyed: streams may still run while the process ends.
Registry& registry() {
  static Registry* const only = [] {
    pthread_atfork(nullptr, nullptr, close_all_in_child);
    std::atexit(leave_at_exit);
    return new Registry;
  }();
  return *only;
}

// A child that keeps the sockets open would hide its parent's death from the other ranks.
void close_all_in_child() {
  forked = true;
  for (auto& entry : registry().communicators) entry.second->mesh().close_in_child();
}

// A process that ends in an orderly way is no dead rank, even if it destroyed nothing.
void leave_at_exit() {
  if (forked) return;
  std::map<void*, CommunicatorPointer> all;
  {
    std::lock_guard<std::mutex> lock(registry().mutex);
    all = registry().communicators;
  }
  for (auto& entry : all) entry.second->mesh().close();
}

}  // namespace

std::chrono::milliseconds time_from_environment(const char* name,
                                                std::chrono::milliseconds otherwise,
                                                std::int64_t unit_ms) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == 0) return otherwise;
  char* end = nullptr;
  const long long value = std::strtoll(text, &end, 10);
  if (*end != 0 || value < 0 || value > 2147483647) {
    throw RankFailure(Problem::argument,
                      std::string(name) + " must be a whole number >= 0, not '" + text + "'");
  }
  return std::chrono::milliseconds(value * unit_ms);
}

// One call on a stream. When a stream drops it unrun, the other ranks would wait for it in vain.
class Ticket {
 public:
  explicit Ticket(CommunicatorPointer communicator) : communicator_(std::move(communicator)) {
    communicator_->begin();
  }
  ~Ticket() {
    if (!ran && !refused) {
      communicator_->mesh().fail(Problem::runtime, "its stream dropped the call, after an error",
                                 true);
    }
    communicator_->end();
  }
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;
  std::atomic<bool> ran{false};
  bool refused = false;  // the caller knows: it is no call at all

 private:
  CommunicatorPointer communicator_;
};

Communicator::Communicator(Joined joined, std::uint32_t rank, int device, const Times& times)
    : name_(std::move(joined.name)),
      device_(device),
      times_(times),
      sends_(joined.sockets.size()),
      receives_(joined.sockets.size()),
      mesh_(rank, std::move(joined.sockets)) {}

std::string Communicator::where() const {
  return "communicator " + name_ + ", rank " + std::to_string(rank()) + " of " +
         std::to_string(size());
}

void Communicator::begin() {
  std::lock_guard<std::mutex> lock(pending_mutex_);
  ++pending_;
}

void Communicator::end() {
  std::lock_guard<std::mutex> lock(pending_mutex_);
  if (--pending_ == 0) none_pending_.notify_all();
}

std::uint32_t Communicator::next_sub(std::uint64_t id, std::uint32_t peer) {
  std::lock_guard<std::mutex> lock(order_);
  return subs_[{id, peer}]++;
}

Deadline Communicator::call_deadline() const {
  return times_.execute.count() == 0 ? Clock::now() + std::chrono::hours(24 * 365)
                                     : deadline_after(times_.execute);
}

void Communicator::check_alive() {
  std::string text;
  const Problem code = mesh_.state(std::chrono::milliseconds(0), &text);
  if (code == Problem::none) return;
  mesh_.fail(code, text, true);  // a death that a call has met is a failure, without any grace
  throw RankFailure(code, text + " (" + where() + ")");
}

void Communicator::submit(accel_sim::Stream& stream, Operation operation, std::uint64_t bytes,
                          std::function<Numbers()> number,
                          std::function<void(const Numbers&)> run) {
  const bool captured = stream.capture() != nullptr;
  const auto self = shared_from_this();
  // Numbers are taken and tasks are queued under one lock, so that their orders agree.
  std::lock_guard<std::mutex> lock(order_);
  const std::uint64_t collectives = collectives_;
  const auto sends = sends_;
  const auto receives = receives_;
  Numbers numbers = captured ? Numbers() : number();
  std::shared_ptr<Ticket> ticket = captured ? nullptr : std::make_shared<Ticket>(self);
  auto body = [self, operation, captured, numbers, ticket, number = std::move(number),
               run = std::move(run)] {
    if (ticket) ticket->ran = true;
    try {
      if (captured) {
        Numbers fresh;
        {
          std::lock_guard<std::mutex> taking(self->order_);
          fresh = number();
        }
        run(fresh);
      } else {
        run(numbers);
      }
    } catch (const RankFailure& failure) {
      self->mesh_.fail(failure.problem, failure.what(), true);
      throw accel_sim::Failure(failure.problem == Problem::timeout ? vendor().stream_timeout
                                                                   : vendor().stream_failed,
                               self->where() + ": " + failure.what());
    } catch (const std::exception& failure) {
      self->mesh_.fail(Problem::runtime, failure.what(), true);
      throw;
    }
  };
  accel_sim::Task task;
  task.name = operation_name(operation);
  task.run = std::move(body);
  task.bytes = bytes;
  task.waits = true;
  try {
    accel_sim::submit(stream, std::move(task));
    if (ticket && ticket.use_count() == 1 && !ticket->ran) {
      // A planned fault took the task's place: the other ranks learn it when the stream comes to it.
      ticket->refused = true;
      accel_sim::Task tell;
      tell.control = true;
      tell.run = [self] {
        self->mesh_.fail(Problem::runtime, "a planned fault on its stream", true);
      };
      accel_sim::submit(stream, std::move(tell));
    }
  } catch (...) {
    if (ticket) ticket->refused = true;
    collectives_ = collectives;
    sends_ = sends;
    receives_ = receives;
    throw;
  }
}

void Communicator::resume() {
  mesh_.resume();
  std::lock_guard<std::mutex> lock(order_);
  collectives_ = 0;
  sends_.assign(size(), 0);
  receives_.assign(size(), 0);
}

void Communicator::destroy() {
  std::unique_lock<std::mutex> lock(pending_mutex_);
  std::uint64_t pending = 0;
  std::uint64_t changes = 0;
  do {  // as long as there is progress
    pending = pending_;
    changes = mesh_.changes();
    none_pending_.wait_for(lock, times_.destroy, [&] { return pending_ == 0; });
  } while (pending_ != 0 && (pending_ != pending || mesh_.changes() != changes));
  lock.unlock();
  mesh_.close();
}

bool Communicator::busy() const {
  std::lock_guard<std::mutex> lock(pending_mutex_);
  return pending_ != 0;
}

void Communicator::abort() {
  mesh_.fail(Problem::unavailable, "the communicator was aborted", true);
  mesh_.close();
}

void* publish(CommunicatorPointer communicator) {
  std::lock_guard<std::mutex> lock(registry().mutex);
  void* handle = communicator.get();
  registry().communicators[handle] = std::move(communicator);
  return handle;
}

CommunicatorPointer communicator_of(void* handle) {
  if (handle == nullptr) throw RankFailure(Problem::null_pointer, "comm is a null pointer");
  std::lock_guard<std::mutex> lock(registry().mutex);
  const auto found = registry().communicators.find(handle);
  if (found == registry().communicators.end()) {
    throw RankFailure(Problem::argument, "comm is no communicator, or was destroyed");
  }
  return found->second;
}

CommunicatorPointer retire(void* handle) {
  CommunicatorPointer communicator = communicator_of(handle);
  std::lock_guard<std::mutex> lock(registry().mutex);
  registry().communicators.erase(handle);
  return communicator;
}

}  // namespace accel_ranks
