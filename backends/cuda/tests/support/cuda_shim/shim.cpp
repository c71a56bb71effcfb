// The threads of a block as fibers of one operating-system thread, blocks one after another.
//
// A fiber runs until it waits for others (a barrier, a group operation) or yields; then one of those
// that can go on is picked. Seeds choose the order: forwards, backwards or at random within a block,
// and at random over blocks; so a missing barrier shows as a wrong result under some seed. When
// nobody can go on and somebody waits, the launch fails and says who waits where.
#include "shim.h"

#include <signal.h>
#include <ucontext.h>

#include <algorithm>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "background.hpp"
#include "fiber_stack.hpp"
#include "memory.hpp"

extern "C" {
// Of the section that ACCEL_SHARED names; absent when a kernel file has no such variable.
extern unsigned char __start_accel_shared[] __attribute__((weak));
extern unsigned char __stop_accel_shared[] __attribute__((weak));
}

namespace accel_shim {

Here here;

namespace {

constexpr unsigned kGroup = 32;
constexpr std::uint64_t kPatience = 2'000'000;  // yields of a block before it counts as stuck

enum class State { kReady, kBarrier, kGroup, kEnded };

struct Fiber {
  State state = State::kReady;
  const char* operation = "";
  const char* file = "";
  int line = 0;
  unsigned turn = 0;  // group operations so far: chooses the deposits
};

struct Group {
  char order[2] = {};  // tokens
  unsigned arrived = 0;
  unsigned first = 0;  // thread that came first
  std::uint64_t deposits[2][kGroup];
};

struct Launch {
  void (*kernel)(const void*) = nullptr;
  const void* args = nullptr;
  std::uint64_t random = 1;
  char begin = 0, end = 0, barrier[2] = {}, fences = 0;  // tokens of order
  unsigned barriers = 0;  // so far in this block
  int order = 0;  // 0 forwards, 1 backwards, 2 at random
  std::vector<Fiber> fibers;
  std::vector<Group> groups;
  std::vector<unsigned> ready;
  unsigned at_barrier = 0, first_at_barrier = 0, ended = 0;
  std::uint64_t yields = 0;
  std::string error;
  std::unique_ptr<FiberStacks> stacks;
  SharedMemory shared;
};
Launch* launch = nullptr;

}  // namespace

std::uint64_t draw() {
  std::uint64_t x = launch->random;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return launch->random = x;
}

namespace {

void poison(unsigned char* begin, unsigned char* end) ACCEL_SHIM_UNCHECKED;
void poison(unsigned char* begin, unsigned char* end) {
  const auto pattern = static_cast<unsigned char>(0x80 | draw());
  for (volatile unsigned char* p = begin; p != end; ++p) *p = pattern;
}

void make_ready(unsigned thread) {
  launch->fibers[thread].state = State::kReady;
  launch->ready.push_back(thread);
}

// The next thread to run, taken off the list; any when one yields, so that everybody's turn comes.
unsigned pick(bool any) {
  auto& ready = launch->ready;
  auto chosen = ready.begin();
  if (any || launch->order == 2) {
    chosen += static_cast<std::ptrdiff_t>(draw() % ready.size());
  } else if (launch->order == 1) {
    chosen = std::max_element(ready.begin(), ready.end());
  } else {
    chosen = std::min_element(ready.begin(), ready.end());
  }
  const unsigned thread = *chosen;
  *chosen = ready.back();
  ready.pop_back();
  return thread;
}

std::string place(const char* file, int line) {
  const std::string path = file;
  return path.substr(path.find_last_of('/') + 1) + ":" + std::to_string(line);
}

std::string block_name() {
  return "block (" + std::to_string(here.block[0]) + ", " + std::to_string(here.block[1]) + ", " +
         std::to_string(here.block[2]) + ")";
}

// Who is where: runs of threads in the same state at the same line.
std::string census() {
  std::string text;
  const auto& all = launch->fibers;
  for (unsigned i = 0, j; i < all.size(); i = j) {
    for (j = i + 1; j < all.size() && all[j].state == all[i].state && all[j].line == all[i].line &&
                    all[j].operation == all[i].operation;) {
      ++j;
    }
    text += "\n  threads " + std::to_string(i) + " to " + std::to_string(j - 1);
    if (all[i].state == State::kEnded) {
      text += " have ended";
    } else if (all[i].state == State::kReady) {
      text += " run";
    } else {
      text += " wait in " + std::string(all[i].operation) + " at " + place(all[i].file, all[i].line);
    }
  }
  return text;
}

// Leaves the running fiber for another one, or for run_block() when there is none.
void go_on(bool any = false) {
  if (launch->ready.empty()) {
    launch->stacks->leave();
  } else {
    const unsigned next = pick(any);
    const unsigned self = here.thread;
    if (next == self) return;
    here.thread = next;
    launch->stacks->switch_to(self, next);
  }
}

void wait(State state, const char* operation, const char* file, int line) {
  const unsigned self = here.thread;
  Fiber& fiber = launch->fibers[self];
  fiber.state = state;
  fiber.operation = operation;
  fiber.file = file;
  fiber.line = line;
  go_on();
}

void open_barrier_if_all_are_there() {
  if (launch->at_barrier == 0 ||
      launch->at_barrier + launch->ended != launch->fibers.size()) {
    return;
  }
  launch->at_barrier = 0;
  ++launch->barriers;
  for (unsigned i = 0; i < launch->fibers.size(); ++i) {
    if (launch->fibers[i].state == State::kBarrier) make_ready(i);
  }
}

// Where a fiber begins.
void thread_main() {
  acquire(&launch->begin);
  launch->kernel(launch->args);
  std::optional<Unseen> unseen(std::in_place);
  end_of_thread();
  release(&launch->end);
  launch->fibers[here.thread].state = State::kEnded;
  ++launch->ended;
  open_barrier_if_all_are_there();
  const bool last = launch->ready.empty();
  if (!last) here.thread = pick(false);
  unseen.reset();
  if (last) launch->stacks->leave();
  launch->stacks->end_and_switch_to(here.thread);
}

void run_block() {
  const unsigned threads = here.threads;
  launch->order = static_cast<int>(draw() % 3);
  launch->fibers.assign(threads, Fiber{});
  launch->groups.assign((threads + kGroup - 1) / kGroup, Group{});
  launch->ready.clear();
  for (unsigned i = 0; i < threads; ++i) launch->ready.push_back(i);
  launch->at_barrier = launch->ended = 0;
  launch->yields = 0;
  if (__start_accel_shared != nullptr) poison(__start_accel_shared, __stop_accel_shared);
  poison(launch->shared.begin(), launch->shared.end());

  forget_copies();
  release(&launch->begin);
  launch->stacks->prepare(threads, thread_main);
  here.thread = pick(false);
  launch->stacks->enter(here.thread);
  acquire(&launch->end);
  if (launch->error.empty() && launch->ended != threads) {
    launch->error = block_name() + " cannot go on:" + census();
  } else if (launch->error.empty() && bulk_loads_under_way()) {
    launch->error = block_name() + " ends while a bulk load into its shared memory is under way";
  }
}

[[noreturn]] void stop(const std::string& text) {
  if (launch->error.empty()) {
    launch->error = block_name() + ", thread " + std::to_string(here.thread) + ": " + text;
  }
  launch->stacks->leave();
  __builtin_unreachable();
}

// An access outside of every buffer, when no sanitizer looks after that.
void on_signal(int number, siginfo_t* info, void*) {
  stop((number == SIGFPE ? "division by zero" : "access to an address outside of the buffers: ") +
       (number == SIGFPE ? std::string() : describe_address(info->si_addr)));
}

}  // namespace

void sync_threads(const char* file, int line) {
  const Unseen unseen;
  if (launch->at_barrier++ == 0) {
    launch->first_at_barrier = here.thread;
  } else {
    const Fiber& first = launch->fibers[launch->first_at_barrier];
    if (first.line != line || std::strcmp(first.file, file) != 0) {
      fail(file, line, "thread %u waits in another accel_sync_threads, at %s",
           launch->first_at_barrier, place(first.file, first.line).c_str());
    }
  }
  const unsigned self = here.thread;
  Fiber& fiber = launch->fibers[self];
  fiber.state = State::kBarrier;
  fiber.operation = "accel_sync_threads";
  fiber.file = file;
  fiber.line = line;
  char* token = &launch->barrier[launch->barriers % 2];
  release(token);
  open_barrier_if_all_are_there();
  go_on();
  acquire(token);
}

const std::uint64_t* meet(const char* operation, std::uint64_t value, const char* file, int line) {
  const Unseen unseen;
  const unsigned self = here.thread, lane = self % kGroup, base = self - lane;
  Fiber& fiber = launch->fibers[self];
  Group& group = launch->groups[self / kGroup];
  if (base + kGroup > here.threads) {
    fail(file, line, "%s in a block of %u threads: a group has 32", operation, here.threads);
  }
  if (group.arrived == 0) {
    group.first = self;
  } else {
    const Fiber& first = launch->fibers[group.first];
    if (first.line != line || std::strcmp(first.file, file) != 0 ||
        std::strcmp(first.operation, operation) != 0) {
      fail(file, line, "%s, but thread %u of the same group waits in %s at %s", operation,
           group.first, first.operation, place(first.file, first.line).c_str());
    }
  }
  // Only the barrier orders memory; a shuffle or a vote does not.
  const bool orders = std::strcmp(operation, "accel_sync_group") == 0;
  char* token = &group.order[fiber.turn % 2];
  if (orders) release(token);
  std::uint64_t* deposits = group.deposits[fiber.turn++ % 2];
  deposits[lane] = value;
  if (++group.arrived < kGroup) {
    wait(State::kGroup, operation, file, line);
  } else {
    group.arrived = 0;
    for (unsigned i = base; i < base + kGroup; ++i) {
      if (i != self) make_ready(i);
    }
    make_ready(self);
    go_on();
  }
  if (orders) acquire(token);
  return deposits;
}

void yield(const char* file, int line) {
  const Unseen unseen;
  if (++launch->yields > kPatience) fail(file, line, "waits for ever:%s", census().c_str());
  make_ready(here.thread);
  go_on(true);
}

void maybe_yield() {
  if (draw() % 4 == 0) yield("", 0);
}

// More order than fences give: no false alarms from flags and counters behind a fence.
void fence() {
  if (launch != nullptr) {
    release(&launch->fences);
    acquire(&launch->fences);
  }
}

std::uint64_t noise() { return draw(); }

void* dynamic_shared() { return launch->shared.begin(); }

std::uint64_t nanoseconds() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

void fail(const char* file, int line, const char* format, ...) {
  char text[2048];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  stop(place(file, line) + ": " + text);
}

}  // namespace accel_shim

using namespace accel_shim;

// Runs a kernel; 0, or 1 and why not in `message`. Not for several threads at a time.
extern "C" int accel_shim_launch(void (*kernel)(const void*), const unsigned* grid, unsigned block,
                                 std::uint64_t shared_bytes, const void* args, std::uint64_t seed,
                                 char* message, std::uint64_t message_bytes) {
  Launch current;
  launch = &current;
  current.kernel = kernel;
  current.args = args;
  current.random = seed * 0x9E3779B97F4A7C15u + 0x2545F4914F6CDD1Du;
  current.stacks = std::make_unique<FiberStacks>(block);
  current.shared.allocate(shared_bytes);
  here = Here{0, block, {0, 0, 0}, {grid[0], grid[1], grid[2]}};

  std::vector<std::uint64_t> blocks(std::uint64_t{grid[0]} * grid[1] * grid[2]);
  std::iota(blocks.begin(), blocks.end(), 0);
  for (std::size_t i = blocks.size(); i > 1; --i) std::swap(blocks[i - 1], blocks[draw() % i]);

  {
    const SignalGuard guard(on_signal);
    for (const std::uint64_t index : blocks) {
      here.block[0] = static_cast<unsigned>(index % grid[0]);
      here.block[1] = static_cast<unsigned>(index / grid[0] % grid[1]);
      here.block[2] = static_cast<unsigned>(index / grid[0] / grid[1]);
      run_block();
      if (current.error.empty()) current.error = damaged_guard();
      if (!current.error.empty()) break;
    }
  }
  std::snprintf(message, message_bytes, "%s", current.error.c_str());
  const bool failed = !current.error.empty();
  if (failed) current.stacks->abandon();
  launch = nullptr;
  return failed;
}
