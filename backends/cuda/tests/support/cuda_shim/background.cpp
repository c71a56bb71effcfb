// Copies in the background and the barriers that bulk loads complete. Half of the copies, by lot, are
// done when they are issued, the others when somebody waits for them.
#include "background.hpp"

#include <deque>
#include <map>
#include <vector>

#include "races.hpp"
#include "shim.h"

namespace accel_shim {
namespace {

struct Copy {
  unsigned char* to;
  const unsigned char* from;
  unsigned bytes;
  unsigned batch;
};
struct Queue {  // of one thread and engine
  std::deque<Copy> copies;
  unsigned batch = 0;
};
struct Barrier {
  unsigned count = 0, missing = 0, parity = 0;
  long long bytes = 0;  // still to come
  std::vector<Copy> loads;
};

std::map<unsigned, Queue> queues[2];
std::map<void*, Barrier> barriers;

// Byte by byte: what the address sanitizer checks.
void run(const Copy& copy) {
  copies(copy.to, copy.from, copy.bytes);
  for (unsigned i = 0; i < copy.bytes; ++i) copy.to[i] = copy.from[i];
}

Queue& queue(Engine engine) { return queues[engine == Engine::kBulkStore][here.thread]; }

void complete_phase_if_over(Barrier& barrier) {
  release(&barrier);
  if (barrier.missing != 0 || barrier.bytes != 0) return;
  barrier.parity ^= 1;
  barrier.missing = barrier.count;
}

void run_loads(Barrier& barrier) {
  std::vector<Copy> loads;
  loads.swap(barrier.loads);
  for (const Copy& load : loads) {
    run(load);
    barrier.bytes -= load.bytes;
  }
  if (!loads.empty()) complete_phase_if_over(barrier);
}

Barrier& find(void* address, const char* file, int line) {
  const auto found = barriers.find(address);
  if (found == barriers.end()) fail(file, line, "a barrier that nobody has initialised");
  return found->second;
}

}  // namespace

void forget_copies() {
  queues[0].clear();
  queues[1].clear();
  barriers.clear();
}

void end_of_thread() {
  const Unseen unseen;
  if (!queue(Engine::kBulkStore).copies.empty()) {
    fail("accel_bulk_store", 0, "a thread ends before its stores have read shared memory");
  }
}

bool bulk_loads_under_way() {
  for (const auto& [address, barrier] : barriers) {
    if (!barrier.loads.empty()) return true;
  }
  return false;
}

void issue(Engine engine, void* to, const void* from, unsigned bytes, void* barrier) {
  const Unseen unseen;
  Copy copy{static_cast<unsigned char*>(to), static_cast<const unsigned char*>(from), bytes, 0};
  if (engine == Engine::kBulkLoad) {
    Barrier& counted = find(barrier, "accel_bulk_load", 0);
    counted.loads.push_back(copy);
    if (draw() % 2 == 0) run_loads(counted);
    return;
  }
  Queue& mine = queue(engine);
  copy.batch = mine.batch;
  // A bulk store may always be under way still: its end is asked for.
  if (engine == Engine::kThread && draw() % 2 == 0) {
    run(copy);
  } else {
    mine.copies.push_back(copy);
  }
}

void commit(Engine engine) {
  const Unseen unseen;
  ++queue(engine).batch;
}

void wait_copies(Engine engine, unsigned newest) {
  const Unseen unseen;
  Queue& mine = queue(engine);
  while (!mine.copies.empty() && mine.copies.front().batch + newest < mine.batch) {
    run(mine.copies.front());
    mine.copies.pop_front();
  }
}

void check_bulk(const void* a, const void* b, unsigned bytes, const char* file, int line) {
  check_aligned(a, 16, file, line);
  check_aligned(b, 16, file, line);
  if (bytes == 0 || bytes % 16 != 0) {
    fail(file, line, "a bulk copy of %u bytes: a multiple of 16 is wanted", bytes);
  }
}

void mbarrier_init(void* barrier, unsigned arrivals) {
  const Unseen unseen;
  Barrier& fresh = barriers[barrier] = Barrier{};
  fresh.count = fresh.missing = arrivals;
}

void mbarrier_arrive(void* barrier, unsigned bytes, const char* file, int line) {
  const Unseen unseen;
  Barrier& there = find(barrier, file, line);
  if (there.missing == 0) fail(file, line, "more arrivals than the barrier counts");
  there.bytes += bytes;
  --there.missing;
  complete_phase_if_over(there);
  maybe_yield();
}

bool mbarrier_try(void* barrier, unsigned parity, const char* file, int line) {
  const Unseen unseen;
  Barrier& there = find(barrier, file, line);
  if (there.parity != parity) {
    acquire(&there);
    return true;
  }
  if (draw() % 2 == 0) {
    run_loads(there);
  } else {
    yield(file, line);
  }
  if (there.parity == parity) return false;
  acquire(&there);
  return true;
}

}  // namespace accel_shim
