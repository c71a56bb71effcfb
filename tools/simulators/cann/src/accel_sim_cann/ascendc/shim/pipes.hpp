// Pipelines of a core: each does its tasks in order; between them only flags make an order.
#pragma once

#include "core.hpp"

namespace accel_ascendc {

enum class HardEvent : std::uint8_t {
  MTE2_V, V_MTE2, MTE3_V, V_MTE3, MTE3_MTE2, MTE2_MTE3,
  S_V, V_S, S_MTE2, MTE2_S, S_MTE3, MTE3_S
};

using TEventID = std::int8_t;

inline Pipe source_of(HardEvent event) {
  static const Pipe pipes[] = {PIPE_MTE2, PIPE_V, PIPE_MTE3, PIPE_V, PIPE_MTE3, PIPE_MTE2,
                               PIPE_S,    PIPE_V, PIPE_S,    PIPE_MTE2, PIPE_S, PIPE_MTE3};
  return pipes[static_cast<int>(event)];
}

inline Pipe target_of(HardEvent event) {
  static const Pipe pipes[] = {PIPE_V, PIPE_MTE2, PIPE_V,    PIPE_MTE3, PIPE_MTE2, PIPE_MTE3,
                               PIPE_V, PIPE_S,    PIPE_MTE2, PIPE_S,    PIPE_MTE3, PIPE_S};
  return pipes[static_cast<int>(event)];
}

namespace detail {

constexpr std::size_t kRemembered = 512;  // uses of the unified buffer, of each pipeline

// Whether nothing earlier uses the same bytes, but what is done for certain by then: whatever the
// pipelines' speeds. Flags are what makes certain.
inline void check_order(const Core& c, int pipe, const Use& use) {
  for (int p = PIPE_V; p <= PIPE_MTE3; ++p) {
    if (p == pipe) continue;
    for (const Use& earlier : c.uses[p]) {
      if (earlier.number <= c.known[pipe].done[p]) continue;
      if (earlier.writes.meets(use.reads) || earlier.writes.meets(use.writes) ||
          earlier.reads.meets(use.writes)) {
        broken("%s on pipeline %s may go ahead of %s on pipeline %s, which uses the same bytes of "
               "the unified buffer: no flag and no queue orders them",
               use.name, pipe_name(pipe), earlier.name, pipe_name(p));
      }
    }
  }
}

// Does the next task of a pipeline; false when there is none, or it waits.
inline bool step(Core& c, int pipe) {
  auto& tasks = c.pipes[pipe];
  if (tasks.empty()) return false;
  Task& task = tasks.front();
  if (task.kind == Task::Kind::Wait) {
    const auto found = c.flags.find(task.flag);
    if (found == c.flags.end() || found->second == 0) return false;
    --found->second;
  } else if (task.kind == Task::Kind::Set) {
    if (++c.flags[task.flag] > 1) broken("a flag is set that nobody has waited for");
  } else {
    task.work();
  }
  tasks.pop_front();
  return true;
}

inline bool step_any(Core& c) {
  const int first = static_cast<int>(c.random() % 3);
  for (int i = 0; i < 3; ++i) {
    if (step(c, PIPE_V + (first + i) % 3)) return true;
  }
  return false;
}

inline void issue(int pipe, Task task) {
  Core& c = core();
  Known& known = c.known[pipe];
  known.join(c.known[PIPE_S]);
  const std::uint64_t number = ++c.issued[pipe];
  if (task.kind == Task::Kind::Wait) {
    auto& told = c.told[task.flag];
    if (!told.empty()) {
      known.join(told.front());
      told.pop_front();
    }
  } else if (task.kind == Task::Kind::Set) {
    Known all = known;
    all.done[pipe] = number;
    c.told[task.flag].push_back(all);
  } else {
    const Use use = {number, task.reads, task.writes, task.name};
    check_order(c, pipe, use);
    c.uses[pipe].push_back(use);
    if (c.uses[pipe].size() > kRemembered) c.uses[pipe].pop_front();
  }
  c.pipes[pipe].push_back(std::move(task));
  // Now and then the pipelines get ahead; else they lag behind as far as they may.
  if (c.random() % 4 == 0) {
    for (auto steps = c.random() % 4; steps > 0 && step_any(c); --steps) {
    }
  }
}

// A scalar access: nothing that may still be under way uses the same bytes.
inline void check_scalar(const Span& span, bool write, const char* name) {
  Use use = {0, {}, {}, name};
  (write ? use.writes : use.reads) = span;
  check_order(core(), PIPE_S, use);
}

inline void set_flag(Pipe source, std::uint64_t flag) {
  if (source == PIPE_S) {
    if (++core().flags[flag] > 1) broken("a flag is set that nobody has waited for");
    core().told[flag].push_back(core().known[PIPE_S]);
    return;
  }
  Task task;
  task.kind = Task::Kind::Set;
  task.flag = flag;
  task.name = "SetFlag";
  issue(source, std::move(task));
}

inline void wait_flag(Pipe target, std::uint64_t flag) {
  if (target != PIPE_S) {
    Task task;
    task.kind = Task::Kind::Wait;
    task.flag = flag;
    task.name = "WaitFlag";
    issue(target, std::move(task));
    return;
  }
  Core& c = core();
  while (c.flags[flag] == 0) {
    if (!step_any(c)) broken("WaitFlag on pipeline S waits for a flag that is never set");
  }
  --c.flags[flag];
  auto& told = c.told[flag];
  if (told.empty()) broken("WaitFlag on pipeline S of a flag that was never set");
  c.known[PIPE_S].join(told.front());
  told.pop_front();
}

inline std::uint64_t flag_of(HardEvent event, std::int64_t id) {
  if (id < 0 || id > 7) broken("event id %lld, of 0 to 7", static_cast<long long>(id));
  return static_cast<std::uint64_t>(event) * 8 + static_cast<std::uint64_t>(id);
}

inline void drain(Core& c) {
  while (step_any(c)) {
  }
  for (int p = PIPE_V; p <= PIPE_MTE3; ++p) {
    if (!c.pipes[p].empty()) {
      broken("pipeline %s waits at the kernel's end for a flag that is never set", pipe_name(p));
    }
  }
}

}  // namespace detail

template <HardEvent event>
void SetFlag(std::int32_t id) {
  detail::set_flag(source_of(event), detail::flag_of(event, id));
}

template <HardEvent event>
void WaitFlag(std::int32_t id) {
  detail::wait_flag(target_of(event), detail::flag_of(event, id));
}

// Tasks of one pipeline are in order here; waiting for all lets everything finish.
template <Pipe pipe>
void PipeBarrier() {
  if (pipe != PIPE_ALL) return;
  Core& c = core();
  while (detail::step_any(c)) {
  }
  for (int p = PIPE_V; p <= PIPE_MTE3; ++p) c.known[PIPE_S].done[p] = c.issued[p];
}

}  // namespace accel_ascendc
