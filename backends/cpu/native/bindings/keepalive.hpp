// Python references held by queued work, and released without the worker ever waiting for the GIL.
#pragma once

#include <pybind11/pybind11.h>

#include <initializer_list>
#include <utility>
#include <vector>

namespace accel_cpu {

// Owns references. Made with the GIL held; may be destroyed anywhere: the references then go to the
// graveyard, which the next call into the module, a synchronisation, or a stream that ran idle
// empties.
class Keepalive {
 public:
  Keepalive() = default;
  Keepalive(std::initializer_list<PyObject*> borrowed);
  explicit Keepalive(std::vector<PyObject*> owned) : refs_(std::move(owned)) {}
  Keepalive(Keepalive&& other) noexcept : refs_(std::move(other.refs_)) { other.refs_.clear(); }
  Keepalive& operator=(Keepalive&&) = delete;
  Keepalive(const Keepalive&) = delete;
  ~Keepalive();

  void add(PyObject* borrowed);
  PyObject* first() const { return refs_.front(); }

 private:
  std::vector<PyObject*> refs_;
};

// Releases what waits in the graveyard. The GIL must be held.
void drain_graveyard();

// drain_graveyard, and until what other threads took out of it is released too: after a
// synchronisation nothing of the finished work is alive any more. The GIL must be held.
void settle_graveyard();

// Takes the GIL if the graveyard holds anything: what a stream does when it runs idle. Does nothing
// once close_graveyard was called, since the interpreter may be going away.
void drain_graveyard_from_worker();
void close_graveyard();

}  // namespace accel_cpu
