// Random graphs of work on streams against a sequential oracle.
//
//   stream_stress GRAPHS SEED [CHECK_RSS]
//
// A graph is a random program: tasks and callbacks on several streams, records, waits, scopes in
// which the host thread stands in for a stream, streams dropped while they have work, host
// synchronisation. Vector clocks over the program say which accesses are ordered; where two
// conflicting ones are not, the program waits for an event first, one recorded long ago if that is
// enough. So every program has one right result, that of running it in order, and a stream that
// overtakes, a wait that looks at the wrong recording, or a record that completes too early shows
// as a wrong number, and as a data race under ThreadSanitizer. Several programs run at a time, on
// threads that share the runtime. Exits with 0 when all is right; a watchdog aborts when nothing
// moves.

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "runtime/copy_bytes.hpp"
#include "runtime/event.hpp"
#include "runtime/fault.hpp"
#include "runtime/parallel.hpp"
#include "runtime/stream.hpp"

using namespace accel_cpu;

namespace {

std::atomic<std::uint64_t> progress{0};
std::atomic<int> failures{0};

void fail(std::uint64_t seed, const std::string& what) {
  std::fprintf(stderr, "graph seed %llu: %s\n", static_cast<unsigned long long>(seed),
               what.c_str());
  failures.fetch_add(1);
}

// How far each timeline (the streams ever made, and the host) is known to have got.
class Clock {
 public:
  std::uint64_t at(std::size_t line) const { return line < ticks_.size() ? ticks_[line] : 0; }
  void set(std::size_t line, std::uint64_t tick) {
    if (line >= ticks_.size()) ticks_.resize(line + 1);
    ticks_[line] = tick;
  }
  void merge(const Clock& other) {
    for (std::size_t i = 0; i < other.ticks_.size(); ++i) set(i, std::max(at(i), other.ticks_[i]));
  }
  bool covers(std::size_t line, std::uint64_t tick) const { return at(line) >= tick; }

 private:
  std::vector<std::uint64_t> ticks_;
};

struct Access {
  std::size_t line;
  std::uint64_t tick;
};

constexpr std::size_t kWords = 24;
using Words = std::array<std::uint32_t, kWords>;

struct Buffer {
  Words real{}, expected{};
  Access written{0, 0};
  std::vector<Access> read;
};

struct Lane {  // one stream of the program
  std::shared_ptr<Stream> stream;
  std::size_t line = 0;
  Clock clock;
  std::shared_ptr<std::vector<int>> callbacks;
  int expected_callbacks = 0;
  std::size_t expected_errors = 0;
};

struct Mark {  // one event of the program
  std::shared_ptr<Event> event;
  Clock clock;  // of its newest recording
  bool recorded = false;
};

class Program {
 public:
  explicit Program(std::uint64_t seed) : seed_(seed), random_(seed) {
    host_line_ = lines_++;
    lanes_.resize(pick(2, 4));
    for (Lane& lane : lanes_) open(lane);
    marks_.resize(pick(2, 5));
    for (Mark& mark : marks_)
      mark.event = std::make_shared<Event>(pick(0, 1) != 0, pick(0, 30) == 0);
    buffers_.resize(pick(3, 6));
    for (Buffer& buffer : buffers_) {
      for (std::size_t i = 0; i < kWords; ++i) {
        buffer.real[i] = buffer.expected[i] = static_cast<std::uint32_t>(random_());
      }
    }
  }

  void run() {
    const int steps = pick(10, 40);
    for (int i = 0; i < steps; ++i) step(lane());
    for (Lane& lane : lanes_) finish(lane);
    while (!retired_.empty()) {  // work of streams that were dropped: their last events tell
      wait_on_host(*retired_.back().snapshot);
      host_.merge(retired_.back().clock);
      retired_.pop_back();
    }
    for (std::size_t b = 0; b < buffers_.size(); ++b) check(buffers_[b], "at the end");
  }

 private:
  struct Retired {
    std::shared_ptr<Signal> snapshot;
    Clock clock;
  };

  int pick(int low, int high) { return low + static_cast<int>(random_() % (high - low + 1)); }
  Lane& lane() {
    return lanes_[static_cast<std::size_t>(pick(0, static_cast<int>(lanes_.size()) - 1))];
  }
  Mark& mark() {
    return marks_[static_cast<std::size_t>(pick(0, static_cast<int>(marks_.size()) - 1))];
  }
  std::size_t buffer() {
    return static_cast<std::size_t>(pick(0, static_cast<int>(buffers_.size()) - 1));
  }

  void open(Lane& lane) {
    lane.stream = Stream::create(-pick(0, 6));
    lane.line = lines_++;
    lane.clock = host_;
    lane.callbacks = std::make_shared<std::vector<int>>();
    lane.expected_callbacks = 0;
    lane.expected_errors = 0;
  }

  void step(Lane& lane) {
    switch (pick(0, 15)) {
      case 0:
      case 1: record(lane, mark()); break;
      case 2: wait(lane, mark()); break;
      case 3: wait_stream(lane, this->lane()); break;
      case 4: callback(lane); break;
      case 5: host_wait(mark()); break;
      case 6:
        if (pick(0, 3) == 0) scope(lane);
        break;
      case 7:
        if (pick(0, 4) == 0) replace(lane);
        break;
      case 8:
        if (pick(0, 4) == 0) throwing(lane);
        break;
      case 9:
        if (pick(0, 6) == 0) finish(lane);
        break;
      case 10: host_read(buffer()); break;
      case 11: blocking(lane, buffer(), buffer()); break;
      default: combine(lane, buffer(), buffer()); break;
    }
  }

  // --- what a program does ---

  void record(Lane& lane, Mark& mark) {
    lane.clock.merge(host_);
    mark.event->record(*lane.stream);
    mark.clock = lane.clock;
    mark.recorded = true;
  }

  void wait(Lane& lane, Mark& mark) {
    mark.event->wait(*lane.stream);
    if (mark.recorded) lane.clock.merge(mark.clock);
  }

  void wait_stream(Lane& lane, Lane& other) {
    lane.stream->wait_stream(*other.stream);
    lane.clock.merge(other.clock);
    lane.clock.merge(host_);
  }

  void host_wait(Mark& mark) {
    if (pick(0, 1) == 0) {
      if (!mark.event->query()) return;
    } else {
      mark.event->wait_for(kForever);
    }
    if (mark.recorded) host_.merge(mark.clock);
  }

  void callback(Lane& lane) {
    lane.clock.merge(host_);
    const int number = lane.expected_callbacks++;
    lane.stream->callback([calls = lane.callbacks, number] { calls->push_back(number); });
  }

  void throwing(Lane& lane) {
    lane.clock.merge(host_);
    ++lane.expected_errors;
    lane.stream->callback([] { throw std::runtime_error("on purpose"); });
  }

  // dst = 3 * dst + src, read and written by the task.
  void combine(Lane& lane, std::size_t dst, std::size_t src) {
    order(lane, dst, src);
    account(lane, dst, src);
    Words* to = &buffers_[dst].real;
    const Words* from = &buffers_[src].real;
    if (pick(0, 3) == 0 && dst != src) {
      buffers_[dst].expected = buffers_[src].expected;
      lane.stream->submit([to, from] { copy_bytes_parallel(to, from, sizeof(Words)); });
    } else {
      apply(buffers_[dst].expected, buffers_[src].expected);
      const bool slow = pick(0, 15) == 0;
      lane.stream->submit([to, from, slow] {
        if (slow) std::this_thread::sleep_for(std::chrono::microseconds(50));
        apply(*to, *from);
      });
    }
  }

  void blocking(Lane& lane, std::size_t dst, std::size_t src) {
    order(lane, dst, src);
    account(lane, dst, src);
    apply(buffers_[dst].expected, buffers_[src].expected);
    Words* to = &buffers_[dst].real;
    const Words* from = &buffers_[src].real;
    lane.stream->run_blocking([to, from] { apply(*to, *from); });
    host_.merge(lane.clock);
  }

  // The host thread stands in for the stream: what it does itself is in the stream's order.
  void scope(Lane& lane) {
    StreamScope inside(lane.stream);
    lane.clock.merge(host_);
    host_.merge(lane.clock);
    const int steps = pick(1, 4);
    for (int i = 0; i < steps; ++i) {
      const std::size_t dst = buffer(), src = buffer();
      order(lane, dst, src);
      host_.merge(lane.clock);
      if (pick(0, 1) == 0) {  // as an eager operator would, without the runtime's help
        account(lane, dst, src);
        apply(buffers_[dst].expected, buffers_[src].expected);
        apply(buffers_[dst].real, buffers_[src].real);
      } else {
        combine(lane, dst, src);
      }
      host_.merge(lane.clock);
      if (pick(0, 2) == 0) record(lane, mark());
      if (pick(0, 2) == 0) wait(lane, mark());
      if (pick(0, 3) == 0) combine(this->lane(), buffer(), buffer());
      host_.merge(lane.clock);
    }
  }

  // Drops a stream that may have work: the work must still run, in order.
  void replace(Lane& lane) {
    if (lane.expected_callbacks > 0 || lane.expected_errors > 0) return;
    Event last(false, false);
    lane.clock.merge(host_);
    last.record(*lane.stream);
    retired_.push_back({last.snapshot(), lane.clock});
    open(lane);
  }

  void finish(Lane& lane) {
    std::size_t errors = 0;
    try {
      lane.stream->synchronize();
    } catch (const WorkFailed& failed) {
      errors = failed.count;
    }
    if (errors != lane.expected_errors) {
      fail(seed_, "expected " + std::to_string(lane.expected_errors) + " errors, got " +
                      std::to_string(errors));
    }
    lane.expected_errors = 0;
    if (!lane.stream->query()) fail(seed_, "a stream was busy just after synchronize()");
    host_.merge(lane.clock);
    std::vector<int> right(static_cast<std::size_t>(lane.expected_callbacks));
    for (std::size_t i = 0; i < right.size(); ++i) right[i] = static_cast<int>(i);
    if (*lane.callbacks != right) fail(seed_, "callbacks ran out of order, or not all of them");
  }

  void host_read(std::size_t b) {
    const Access& last = buffers_[b].written;
    if (last.tick != 0 && !host_.covers(last.line, last.tick)) return;
    check(buffers_[b], "read by the host");
    buffers_[b].read.push_back(
        {host_line_, 0});  // the host goes on only after reading: always ordered
  }

  // --- ordering ---

  static void apply(Words& dst, const Words& src) {
    for (std::size_t i = 0; i < kWords; ++i) dst[i] = 3 * dst[i] + src[kWords - 1 - i];
  }

  // Makes the lane wait for every access that conflicts with reading src and writing dst.
  void order(Lane& lane, std::size_t dst, std::size_t src) {
    lane.clock.merge(host_);
    std::vector<Access> before{buffers_[dst].written, buffers_[src].written};
    before.insert(before.end(), buffers_[dst].read.begin(), buffers_[dst].read.end());
    for (const Access& access : before) {
      if (access.tick == 0 || access.line == lane.line ||
          lane.clock.covers(access.line, access.tick))
        continue;
      wait_for_access(lane, access);
    }
  }

  void wait_for_access(Lane& lane, const Access& access) {
    for (Mark& mark : marks_) {  // an event recorded some time ago will do
      if (mark.recorded && mark.clock.covers(access.line, access.tick) && pick(0, 3) != 0) {
        wait(lane, mark);
        return;
      }
    }
    for (Lane& other : lanes_) {
      if (!other.clock.covers(access.line, access.tick) && other.line != access.line) continue;
      if (pick(0, 1) == 0) {
        wait_stream(lane, other);
      } else {
        Mark& mark = this->mark();
        record(other, mark);
        wait(lane, mark);
      }
      return;
    }
    for (const Retired& retired : retired_) {
      if (!retired.clock.covers(access.line, access.tick)) continue;
      lane.stream->wait(retired.snapshot);
      lane.clock.merge(retired.clock);
      return;
    }
    fail(seed_, "the generator lost track of an access");
  }

  void account(Lane& lane, std::size_t dst, std::size_t src) {
    const std::uint64_t tick = lane.clock.at(lane.line) + 1;
    lane.clock.set(lane.line, tick);
    buffers_[src].read.push_back({lane.line, tick});
    buffers_[dst].written = {lane.line, tick};
    buffers_[dst].read.clear();
  }

  void check(const Buffer& buffer, const char* when) {
    if (buffer.real != buffer.expected) fail(seed_, std::string("a wrong number ") + when);
  }

  const std::uint64_t seed_;
  std::mt19937_64 random_;
  std::size_t lines_ = 0, host_line_ = 0;
  Clock host_;
  std::vector<Lane> lanes_;
  std::vector<Mark> marks_;
  std::vector<Buffer> buffers_;
  std::vector<Retired> retired_;
};

// Several threads use one stream: entered by some, given work by the others.
void shared_stream(std::uint64_t seed) {
  auto stream = Stream::create();
  auto count = std::make_shared<int>(0);  // only ever touched in the stream's order
  constexpr int kThreads = 3, kRounds = 6;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([=] {
      std::mt19937_64 random(seed * 31 + static_cast<std::uint64_t>(t));
      for (int i = 0; i < kRounds; ++i) {
        if (random() % 3 == 0) {
          StreamScope inside(stream);
          const int before = *count;
          if (random() % 2 == 0) std::this_thread::yield();
          *count = before + 1;
          Event event(false, false);
          event.record(*stream);
          event.wait_for(kForever);
        } else {
          stream->submit([count] { ++*count; });
          if (random() % 4 == 0) stream->synchronize();
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  stream->synchronize();
  if (*count != kThreads * kRounds) fail(seed, "work on a shared stream was lost");
}

// What others give a held stream runs at its holder's next call on it, or after it has left.
void held_stream(std::uint64_t seed) {
  auto stream = Stream::create();
  std::vector<int> order;
  const auto give = [&](int number) {
    stream->submit([&order, number] { order.push_back(number); });
  };
  stream->submit([] { std::this_thread::sleep_for(std::chrono::microseconds(30)); });
  give(0);
  {
    StreamScope inside(stream);
    order.push_back(1);
    std::thread(give, 2).join();
    std::this_thread::sleep_for(std::chrono::microseconds(30));  // time for a worker to err
    if (order.size() != 2) fail(seed, "a held stream ran work on its own");
    give(3);
    std::thread(give, 4).join();
  }
  stream->synchronize();
  if (order != std::vector<int>{0, 1, 2, 3, 4}) fail(seed, "a held stream ran work out of order");
}

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

void watch() {
  std::uint64_t seen = progress.load();
  int still = 0;
  for (;;) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    const std::uint64_t now = progress.load();
    still = now == seen ? still + 1 : 0;
    seen = now;
    if (still >= 60) {
      std::fprintf(stderr, "deadlock: no graph finished for 60 s, after %llu\n",
                   static_cast<unsigned long long>(now));
      std::abort();
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: stream_stress GRAPHS SEED [CHECK_RSS]\n");
    return 2;
  }
  const std::uint64_t graphs = std::strtoull(argv[1], nullptr, 10);
  const std::uint64_t seed = std::strtoull(argv[2], nullptr, 10);
  const bool check_rss = argc > 3;
  std::printf("%llu graphs, seed %llu\n", static_cast<unsigned long long>(graphs),
              static_cast<unsigned long long>(seed));
  std::thread(watch).detach();

  constexpr int kHosts = 3;
  std::atomic<std::uint64_t> next{0};
  std::atomic<std::size_t> resident_early{0};
  std::vector<std::thread> hosts;
  for (int h = 0; h < kHosts; ++h) {
    hosts.emplace_back([&] {
      for (std::uint64_t g; (g = next.fetch_add(1)) < graphs;) {
        Program(seed * 1'000'003 + g).run();
        if (g % 16 == 0) shared_stream(seed + g);
        if (g % 16 == 8) held_stream(seed + g);
        if (g == graphs / 4) resident_early.store(resident_bytes());
        progress.fetch_add(1);
      }
    });
  }
  for (auto& host : hosts) host.join();
  const bool stopped = shutdown_streams(std::chrono::seconds(30));
  if (!stopped) fail(seed, "workers did not end");

  const std::size_t early = resident_early.load(), late = resident_bytes();
  std::printf("resident: %.1f MiB after a quarter, %.1f MiB at the end\n",
              static_cast<double>(early) / 1048576, static_cast<double>(late) / 1048576);
  if (check_rss && late > early + (std::size_t{4} << 20)) fail(seed, "resident memory grew");
  if (failures.load() != 0) {
    std::fprintf(stderr, "%d failures\n", failures.load());
    return 1;
  }
  std::printf("all right\n");
  return 0;
}
