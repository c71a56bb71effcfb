#include "parallel.hpp"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "lifecycle.hpp"

namespace accel_cpu {
namespace {

int decide_thread_count() {
  if (const char* text = std::getenv("ACCEL_CPU_THREADS")) {
    char* end = nullptr;
    const long asked = std::strtol(text, &end, 10);
    if (end != text && *end == '\0' && asked >= 1) return static_cast<int>(std::min(asked, 1024L));
  }
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    return std::max(1, CPU_COUNT(&allowed));
  }
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

thread_local bool inside_body = false;

struct InsideBody {
  InsideBody() { inside_body = true; }
  ~InsideBody() { inside_body = false; }
};

// One parallel_for call, on its caller's stack. `helpers` keeps it there until all have left.
struct Job {
  std::size_t n, chunk;
  detail::RangeBody body;
  void* context;
  std::atomic<std::size_t> next{0};
  int helpers = 0;           // under the pool's mutex
  std::exception_ptr error;  // under the pool's mutex

  bool exhausted() const { return next.load(std::memory_order_relaxed) >= n; }

  void run(std::mutex& mutex) {
    InsideBody mark;
    for (;;) {
      const std::size_t begin = next.fetch_add(chunk, std::memory_order_relaxed);
      if (begin >= n) return;
      try {
        body(context, begin, std::min(n, begin + chunk));
      } catch (...) {
        std::lock_guard<std::mutex> lock(mutex);
        if (!error) error = std::current_exception();
      }
    }
  }
};

class Pool {
 public:
  void run(Job& job) {
    std::unique_lock<std::mutex> lock(mutex_);
    start_threads();
    jobs_.push_back(&job);
    lock.unlock();
    work_.notify_all();
    job.run(mutex_);
    lock.lock();
    const auto at = std::find(jobs_.begin(), jobs_.end(), &job);
    if (at != jobs_.end()) jobs_.erase(at);
    finished_.wait(lock, [&] { return job.helpers == 0; });
    if (job.error) std::rethrow_exception(job.error);
  }

 private:
  void start_threads() {
    for (; started_ < thread_count() - 1; ++started_) {
      std::thread([this] { serve(); }).detach();
    }
  }

  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      work_.wait(lock, [&] { return !jobs_.empty(); });
      Job* job = jobs_.front();
      if (job->exhausted()) {  // its caller may not have taken it off yet
        jobs_.pop_front();
        continue;
      }
      ++job->helpers;
      lock.unlock();
      job->run(mutex_);
      lock.lock();
      if (--job->helpers == 0) finished_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable work_, finished_;
  std::deque<Job*> jobs_;
  int started_ = 0;
};

// Never destroyed: its threads run until the process ends. A forked child gets a new one.
std::atomic<Pool*> current_pool{nullptr};

Pool& pool() {
  static const bool registered = [] {
    at_fork_child([] { current_pool.store(nullptr); });
    return true;
  }();
  (void)registered;
  Pool* found = current_pool.load(std::memory_order_acquire);
  if (found == nullptr) {
    auto* made = new Pool;
    if (current_pool.compare_exchange_strong(found, made)) return *made;
    delete made;
  }
  return *found;
}

}  // namespace

int thread_count() {
  static const int count = decide_thread_count();
  return count;
}

namespace detail {

void parallel_for(std::size_t n, std::size_t grain, RangeBody body, void* context) {
  if (inside_body) {
    body(context, 0, n);
    return;
  }
  grain = std::max<std::size_t>(grain, 1);
  // About four ranges a thread: enough to even out a thread that loses its processor for a while.
  const auto shares = static_cast<std::size_t>(thread_count()) * 4;
  const std::size_t share = (n + shares - 1) / shares;
  Job job{n, (share + grain - 1) / grain * grain, body, context, {}, 0, nullptr};
  pool().run(job);
}

}  // namespace detail
}  // namespace accel_cpu
