#include "ipc_event.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <ctime>
#include <new>

#include "fault.hpp"

namespace accel_cpu {

namespace {
constexpr char kEventPrefix[] = "accel-event";
constexpr std::uint64_t kMagic = 0x616363656c657631;  // "accelev1"
}  // namespace

struct IpcEventState::Page {
  std::atomic<std::uint64_t> magic;
  std::uint64_t timing;
  std::atomic<std::uint64_t> issued;
  std::atomic<std::uint64_t> floor;
  std::atomic<std::uint32_t> changes;
  std::uint32_t padding;
  std::atomic<std::uint64_t> complete[kWindow / 64];
  std::atomic<std::int64_t> ns[kWindow];

  std::atomic<std::uint64_t>& word(std::uint64_t number) { return complete[number % kWindow / 64]; }
  static std::uint64_t bit(std::uint64_t number) { return std::uint64_t{1} << (number % 64); }
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "shared between processes");

// One record, as its maker or a waiter in any process sees it.
class IpcEventState::RecordSignal : public Signal {
 public:
  RecordSignal(std::shared_ptr<IpcEventState> state, std::uint64_t number)
      : state_(std::move(state)), number_(number) {}
  bool done() const override { return state_->done(number_); }
  bool wait_for(std::chrono::nanoseconds limit) override {
    return state_->wait_for(number_, limit);
  }
  std::int64_t completed_ns() const override { return state_->completed_ns(number_); }
  void complete() override { state_->complete(number_); }

 private:
  std::shared_ptr<IpcEventState> state_;
  const std::uint64_t number_;
};

std::shared_ptr<IpcEventState> IpcEventState::create(bool timing) {
  auto segment = accel::SharedSegment::create(kEventPrefix, sizeof(Page));
  auto* page = new (segment->data()) Page{};
  page->timing = timing ? 1 : 0;
  page->magic.store(kMagic, std::memory_order_release);
  return std::shared_ptr<IpcEventState>(new IpcEventState(std::move(segment), page));
}

std::shared_ptr<IpcEventState> IpcEventState::open(const std::string& handle) {
  auto segment = accel::SharedSegment::open(handle, kEventPrefix, "handle");
  auto* page = static_cast<Page*>(segment->data());
  if (segment->nbytes() < sizeof(Page) || page->magic.load(std::memory_order_acquire) != kMagic) {
    throw ArgumentFault(ArgumentFault::Kind::Argument, "handle", "the handle of an accel event",
                        "'" + handle + "', a segment of another kind or version");
  }
  return std::shared_ptr<IpcEventState>(new IpcEventState(std::move(segment), page));
}

bool IpcEventState::timing() const { return page_->timing != 0; }

std::shared_ptr<Signal> IpcEventState::issue() {
  std::lock_guard<std::mutex> lock(maker_mutex_);
  const std::uint64_t number = page_->issued.load(std::memory_order_relaxed) + 1;
  if (number > page_->floor.load(std::memory_order_relaxed) + kWindow) {
    throw Fault(Fault::Kind::State,
                "an interprocess event can have " + std::to_string(kWindow) +
                    " records pending: synchronise with it before recording it again");
  }
  page_->ns[number % kWindow].store(0, std::memory_order_relaxed);
  page_->issued.store(number, std::memory_order_release);
  return std::make_shared<RecordSignal>(shared_from_this(), number);
}

std::shared_ptr<Signal> IpcEventState::newest() {
  const std::uint64_t number = page_->issued.load(std::memory_order_acquire);
  if (number == 0) return nullptr;
  return std::make_shared<RecordSignal>(shared_from_this(), number);
}

bool IpcEventState::done(std::uint64_t number) const {
  // A bit set for `number` may be number + kWindow's, but that is issued only when number is done.
  // The floor is read again because it passes `number` before the bit is cleared.
  return page_->floor.load(std::memory_order_acquire) >= number ||
         (page_->word(number).load(std::memory_order_acquire) & Page::bit(number)) != 0 ||
         page_->floor.load(std::memory_order_acquire) >= number;
}

void IpcEventState::complete(std::uint64_t number) {
  {
    std::lock_guard<std::mutex> lock(maker_mutex_);
    page_->ns[number % kWindow].store(steady_ns(), std::memory_order_relaxed);
    page_->word(number).fetch_or(Page::bit(number), std::memory_order_release);
    std::uint64_t floor = page_->floor.load(std::memory_order_relaxed);
    while (floor < page_->issued.load(std::memory_order_relaxed)) {
      const std::uint64_t next = floor + 1;
      if ((page_->word(next).load(std::memory_order_relaxed) & Page::bit(next)) == 0) break;
      page_->floor.store(next, std::memory_order_release);
      page_->word(next).fetch_and(~Page::bit(next), std::memory_order_release);
      floor = next;
    }
  }
  page_->changes.fetch_add(1, std::memory_order_release);
  syscall(SYS_futex, &page_->changes, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

bool IpcEventState::wait_for(std::uint64_t number, std::chrono::nanoseconds limit) const {
  constexpr std::int64_t kCheckMaker = 50'000'000;  // ns between looks at whether the maker lives
  const std::int64_t deadline =
      limit == kForever ? INT64_MAX : steady_ns() + std::max<std::int64_t>(0, limit.count());
  for (;;) {
    const std::uint32_t seen = page_->changes.load(std::memory_order_acquire);
    if (done(number)) return true;
    const std::int64_t left = deadline - steady_ns();
    if (left <= 0) return false;
    const std::int64_t slice = std::min(left, kCheckMaker);
    timespec timeout{static_cast<time_t>(slice / 1'000'000'000),
                     static_cast<long>(slice % 1'000'000'000)};
    syscall(SYS_futex, &page_->changes, FUTEX_WAIT, seen, &timeout, nullptr, 0);
    if (done(number)) return true;
    if (!segment_->maker_alive() && !done(number)) {
      throw Fault(Fault::Kind::Async,
                  "the process that made this event ended before the recorded work completed");
    }
  }
}

std::int64_t IpcEventState::completed_ns(std::uint64_t number) const {
  return done(number) ? page_->ns[number % kWindow].load(std::memory_order_relaxed) : 0;
}

}  // namespace accel_cpu
