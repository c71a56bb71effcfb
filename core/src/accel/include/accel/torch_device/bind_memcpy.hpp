// Memcpy for Python: checks, then what the runtime can do; what needs operators of the device is
// left to the caller, who is told so before anything was given to the stream.
#pragma once

#include <pybind11/stl.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "copy_batch.hpp"

namespace accel {

namespace detail {

// A stream of torch: its state, behind what torch has queued for it, and its Python object.
struct Target {
  StreamState& state;
  PyObject* torch_stream;
};

// Operands kept alive until the stream has run what it was given for them.
class Keeper {
 public:
  explicit Keeper(const Target& target) : target_(target) {}

  void add(const Operand& operand, const MemoryPlace& place) {
    if (operand.nbytes == 0) return;
    if (place.on_host() || !operand.is_tensor) {
      objects_.push_back(operand.object);
      if (place.kind == MemoryPlace::Kind::Pinned) lend(operand);
      return;
    }
    // Memory of torch's allocator: not used for anything else before the stream is past this.
    static PyObject* const name = PyUnicode_InternFromString("record_stream");
    checked(PyObject_CallMethodOneArg(operand.object, name, target_.torch_stream));
  }

  void done() { target_.state.kept.keep(objects_.data(), objects_.size()); }

 private:
  // A buffer of the pool may be freed by name while the object lives.
  void lend(const Operand& operand) {
    if (operand.is_tensor) return;
    pinned_pool().record_use(operand.pointer, operand.nbytes, target_.state.point());
  }

  const Target& target_;
  std::vector<PyObject*> objects_;
};

class DeviceMemcpy {
 public:
  using handle = pybind11::handle;

  explicit DeviceMemcpy(int index) : index_(index) {}

  bool copy(handle dst, handle src, std::uintptr_t stream, handle torch_stream) {
    const auto pair =
        check_pair<StridedPlan>(dst.ptr(), "dst", src.ptr(), "src", parse_operand);
    if (pair.dst.nbytes == 0) return true;
    const Target target = target_of(stream, torch_stream);
    const MemoryPlace to = place_of(pair.dst, index_), from = place_of(pair.src, index_);
    CopyIssue issue(target.state);
    if (pair.plan == nullptr) {
      issue.flat({pair.dst.pointer, pair.src.pointer, pair.dst.nbytes, to, from});
    } else if (!issue.strided(*pair.plan, pair.dst.pointer, to, pair.src.pointer, from)) {
      return false;
    }
    Keeper keeper(target);
    keeper.add(pair.dst, to);
    keeper.add(pair.src, from);
    keeper.done();
    return true;
  }

  // The indices of pairs that are left to the caller.
  std::vector<std::size_t> copy_batch(handle dsts, handle srcs, std::uintptr_t stream,
                                      handle torch_stream) {
    const auto pairs = check_batch<StridedPlan>(dsts.ptr(), srcs.ptr(), parse_operand);
    std::vector<std::pair<MemoryPlace, MemoryPlace>> places;
    places.reserve(pairs.size());
    for (const auto& pair : pairs) {
      places.emplace_back(place_of(pair.dst, index_), place_of(pair.src, index_));
    }
    const Target target = target_of(stream, torch_stream);
    CopyIssue issue(target.state);
    Keeper keeper(target);
    std::vector<FlatCopy> flat;
    std::vector<std::size_t> left;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const auto& pair = pairs[i];
      if (pair.dst.nbytes == 0) continue;
      const auto& [to, from] = places[i];
      if (pair.plan == nullptr || pair.plan->contiguous()) {
        flat.push_back({pair.dst.pointer, pair.src.pointer, pair.dst.nbytes, to, from});
      } else if (!issue.strided(*pair.plan, pair.dst.pointer, to, pair.src.pointer, from)) {
        left.push_back(i);
      }
    }
    CopyBatch::issue(target.state, std::move(flat));
    std::size_t next = 0;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      if (next < left.size() && left[next] == i) {
        ++next;
        continue;
      }
      keeper.add(pairs[i].dst, places[i].first);
      keeper.add(pairs[i].src, places[i].second);
    }
    keeper.done();
    return left;
  }

  void copy_2d(handle dst, handle src, handle width, handle height, handle dst_pitch,
               handle src_pitch, std::uintptr_t stream, handle torch_stream) {
    const auto rows =
        check_rows<StridedPlan>(dst.ptr(), src.ptr(), width.ptr(), height.ptr(), dst_pitch.ptr(),
                                src_pitch.ptr(), parse_operand);
    if (rows.plan == nullptr) return;
    const Target target = target_of(stream, torch_stream);
    const MemoryPlace to = place_of(rows.dst, index_), from = place_of(rows.src, index_);
    CopyIssue(target.state).rows(*rows.plan, rows.dst.pointer, to, rows.src.pointer, from);
    Keeper keeper(target);
    keeper.add(rows.dst, to);
    keeper.add(rows.src, from);
    keeper.done();
  }

  bool fill(handle dst, handle value, std::uintptr_t stream, handle torch_stream) {
    const auto fill = check_fill<StridedPlan>(dst.ptr(), value.ptr(), parse_operand);
    if (fill.dst.nbytes == 0) return true;
    const Target target = target_of(stream, torch_stream);
    const MemoryPlace place = place_of(fill.dst, index_);
    const StridedPlan flat({}, fill.dst.nbytes);
    const StridedPlan& plan = fill.plan == nullptr ? flat : *fill.plan;
    if (!CopyIssue(target.state).fill(plan, fill.dst.pointer, place, fill.value)) return false;
    Keeper keeper(target);
    keeper.add(fill.dst, place);
    keeper.done();
    return true;
  }

 private:
  Target target_of(std::uintptr_t stream, handle torch_stream) const {
    return {StreamState::of(index_, reinterpret_cast<StreamHandle>(stream)), torch_stream.ptr()};
  }

  const int index_;
};

}  // namespace detail

inline void bind_memcpy(pybind11::module_& module) {
  namespace py = pybind11;
  using detail::DeviceMemcpy;
  using py::literals::operator""_a;
  detail::private_device() = runtime().names().device;
  py::class_<DeviceMemcpy>(module, "Memcpy", py::module_local(),
                           "Copies by the vendor's runtime. `handle` is the stream's, behind what "
                           "torch has queued for it; `torch_stream` is its object in torch.")
      .def(py::init<int>(), "device_index"_a)
      .def("copy", &DeviceMemcpy::copy, "dst"_a, "src"_a, "handle"_a, "torch_stream"_a,
           "Queue a copy; False, with nothing queued, when it takes operators of the device.")
      .def("copy_batch", &DeviceMemcpy::copy_batch, "dsts"_a, "srcs"_a, "handle"_a,
           "torch_stream"_a,
           "Queue all copies but those whose indices it returns: they take operators.")
      .def("copy_2d", &DeviceMemcpy::copy_2d, "dst"_a, "src"_a, "width"_a, "height"_a,
           "dst_pitch"_a, "src_pitch"_a, "handle"_a, "torch_stream"_a, "Queue a copy of rows.")
      .def("fill", &DeviceMemcpy::fill, "dst"_a, "value"_a, "handle"_a, "torch_stream"_a,
           "Queue a fill; False, with nothing queued, when it takes operators of the device.");
}

}  // namespace accel
