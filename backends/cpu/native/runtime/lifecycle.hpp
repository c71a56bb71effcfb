// Process-wide facts: forks seen, and whether the runtime was shut down.
#pragma once

#include <atomic>

namespace accel_cpu {

// Counts the forks between the program's start and this process. Threads do not survive a fork, so
// whatever depends on one remembers the generation it was made in and refuses to block in another.
unsigned fork_generation();

// Called in the child of every fork, in order of registration, on its only thread.
void at_fork_child(void (*handler)());

// Called before every fork, and after it in the parent (`in_child` false) and in the child: to hold
// a lock over the fork, so that the child finds what it guards whole.
void around_fork(void (*before)(), void (*after)(bool in_child));

}  // namespace accel_cpu
