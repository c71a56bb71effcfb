#include "accel_sim/trace.hpp"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "accel_sim/modes.hpp"
#include "accel_sim/vendor.hpp"

namespace accel_sim {
namespace {

struct Stretch {
  std::string name;
  int device;
  int stream;
  long thread;
  std::uint64_t begin_ns;
  std::uint64_t end_ns;
  std::uint64_t bytes;
};

struct Timeline {
  std::mutex mutex;
  std::vector<Stretch> stretches;
};

Timeline& timeline() {
  static Timeline* const one = [] {
    std::atexit([] { write_trace(); });
    return new Timeline;
  }();
  return *one;
}

struct Counts {
  std::shared_mutex mutex;
  // By the address of the name: every exported function has one.
  std::unordered_map<const char*, std::unique_ptr<std::atomic<std::uint64_t>>> counts;
};

Counts& counts() {
  static Counts* const one = new Counts;
  return *one;
}

std::map<std::string, std::uint64_t> all_counts() {
  std::map<std::string, std::uint64_t> sums;
  Counts& known = counts();
  std::shared_lock<std::shared_mutex> lock(known.mutex);
  for (const auto& entry : known.counts) sums[entry.first] += entry.second->load();
  return sums;
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') {
      result += '\\';
      result += letter;
    } else if (static_cast<unsigned char>(letter) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", letter);
      result += code;
    } else {
      result += letter;
    }
  }
  return result + "\"";
}

// Streams are rows of their own; host threads follow after them.
long row_of(const Stretch& stretch) {
  return stretch.stream >= 0 ? stretch.stream : 1000000 + stretch.thread;
}

void write_stretch(std::FILE* file, const Stretch& one) {
  std::fprintf(file,
               ",\n{\"name\":%s,\"cat\":\"%s\",\"ph\":\"X\",\"pid\":%d,\"tid\":%ld,\"ts\":%.3f,"
               "\"dur\":%.3f,\"args\":{\"device\":%d,\"stream\":%d,\"bytes\":%llu}}",
               quoted(one.name).c_str(), one.stream >= 0 ? "stream" : "host",
               static_cast<int>(getpid()), row_of(one), static_cast<double>(one.begin_ns) * 1e-3,
               static_cast<double>(one.end_ns - one.begin_ns) * 1e-3, one.device, one.stream,
               static_cast<unsigned long long>(one.bytes));
}

}  // namespace

std::uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000000000ull +
         static_cast<std::uint64_t>(now.tv_nsec);
}

bool tracing() {
  static const bool asked = !modes().trace.empty();
  return asked;
}

void trace(const std::string& name, int device, int stream, std::uint64_t begin_ns,
           std::uint64_t end_ns, std::uint64_t bytes) {
  if (!tracing()) return;
  Timeline& all = timeline();
  const long thread = stream < 0 ? syscall(SYS_gettid) : 0;
  std::lock_guard<std::mutex> lock(all.mutex);
  all.stretches.push_back({name, device, stream, thread, begin_ns, end_ns, bytes});
}

void write_trace() {
  if (!tracing()) return;
  Timeline& all = timeline();
  std::lock_guard<std::mutex> lock(all.mutex);
  const std::string path = modes().trace + "." + std::to_string(getpid()) + ".json";
  const std::string fresh = path + ".part";
  std::FILE* file = std::fopen(fresh.c_str(), "w");
  if (!file) {
    std::fprintf(stderr, "accel simulator: the trace %s cannot be written\n", path.c_str());
    return;
  }
  std::fprintf(file, "{\"traceEvents\":[\n{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":%d,"
               "\"args\":{\"name\":%s}}", static_cast<int>(getpid()),
               quoted(std::string("simulated ") + vendor().name).c_str());
  std::map<long, const Stretch*> rows;
  for (const Stretch& one : all.stretches) rows.emplace(row_of(one), &one);
  for (const auto& row : rows) {
    const std::string name = row.second->stream >= 0
                                 ? "device " + std::to_string(row.second->device) + " stream " +
                                       std::to_string(row.second->stream)
                                 : "host thread " + std::to_string(row.second->thread);
    std::fprintf(file, ",\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":%ld,"
                 "\"args\":{\"name\":%s}}", static_cast<int>(getpid()), row.first,
                 quoted(name).c_str());
  }
  for (const Stretch& one : all.stretches) write_stretch(file, one);
  std::fprintf(file,
               "\n],\n\"displayTimeUnit\":\"ns\",\n"
               "\"otherData\":{\"simulated\":true,\"calls\":{");
  const char* comma = "";
  for (const auto& entry : all_counts()) {
    std::fprintf(file, "%s\n%s:%llu", comma, quoted(entry.first).c_str(),
                 static_cast<unsigned long long>(entry.second));
    comma = ",";
  }
  std::fprintf(file, "\n}}}\n");
  std::fclose(file);
  std::rename(fresh.c_str(), path.c_str());
}

void count_call(const char* name) {
  Counts& known = counts();
  {
    std::shared_lock<std::shared_mutex> lock(known.mutex);
    auto found = known.counts.find(name);
    if (found != known.counts.end()) {
      ++*found->second;
      return;
    }
  }
  std::unique_lock<std::shared_mutex> lock(known.mutex);
  auto& slot = known.counts[name];
  if (!slot) slot = std::make_unique<std::atomic<std::uint64_t>>(0);
  ++*slot;
}

std::uint64_t call_count(const char* name) {
  const auto sums = all_counts();
  auto found = sums.find(name);
  return found == sums.end() ? 0 : found->second;
}

}  // namespace accel_sim
