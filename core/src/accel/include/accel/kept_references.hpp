// Python objects kept alive until a stream has run past the work that uses them: pinned host
// memory, owners of raw pointers. Memory of torch's own allocators is told of the stream instead.
// The GIL must be held, and is what guards it.
#pragma once

#include <Python.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "stream_marks.hpp"

namespace accel {

class KeptReferences {
 public:
  explicit KeptReferences(std::shared_ptr<StreamMarks> marks) : marks_(std::move(marks)) {}

  // A reference to each of `objects` (borrowed; null and None are left out), after the work that
  // uses them was given. Now and then releases what is done.
  void keep(PyObject* const* objects, std::size_t count) {
    Held held{0, {}};
    for (std::size_t i = 0; i < count; ++i) {
      if (objects[i] == nullptr || objects[i] == Py_None) continue;
      Py_INCREF(objects[i]);
      held.objects.push_back(objects[i]);
    }
    if (held.objects.empty()) return;
    held.place = marks_->next();
    held_.push_back(std::move(held));
    if (++since_ < kLookEvery) return;
    since_ = 0;
    release_passed();
  }

  void release_passed() {
    std::vector<PyObject*> dead;
    while (!held_.empty() && marks_->reached(held_.front().place)) {
      auto& objects = held_.front().objects;
      dead.insert(dead.end(), objects.begin(), objects.end());
      held_.pop_front();
    }
    for (PyObject* object : dead) Py_DECREF(object);  // may run any code: the queue is consistent
  }

  std::size_t count() const {
    std::size_t total = 0;
    for (const Held& held : held_) total += held.objects.size();
    return total;
  }

 private:
  // Asking records an event: a microsecond or two.
  static constexpr int kLookEvery = 16;
  struct Held {
    std::uint64_t place;
    std::vector<PyObject*> objects;
  };
  std::shared_ptr<StreamMarks> marks_;
  std::deque<Held> held_;
  int since_ = 0;
};

}  // namespace accel
