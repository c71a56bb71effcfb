// Memcpy for Python: checks, then what ACL can do; what needs operators of the device is left to
// the caller, who is told so before anything was given to the stream.

#include <accel/copy_checks.hpp>
#include <pybind11/stl.h>

#include <memory>
#include <utility>
#include <vector>

#include "../runtime/copy_batch.hpp"
#include "bindings.hpp"
#include "pinned.hpp"

namespace accel_ascend {
namespace {

namespace py = pybind11;
using accel::Operand;
using accel::StridedPlan;
using py::literals::operator""_a;

// A stream of torch_npu: its handle, behind what torch_npu has queued, and its Python object.
struct Target {
  StreamState& state;
  PyObject* torch_stream;
};

// Operands kept alive until the stream has run what it was given for them.
class Keeper {
 public:
  explicit Keeper(const Target& target) : target_(target) {}

  void add(const Operand& operand, const Place& place) {
    if (operand.nbytes == 0) return;
    if (place.on_host() || !operand.is_tensor) {
      objects_.push_back(operand.object);
      if (place.kind == Place::Kind::Pinned) lend(operand);
      return;
    }
    // Memory of torch's allocator: not used for anything else before the stream is past this.
    static PyObject* const name = PyUnicode_InternFromString("record_stream");
    accel::checked(PyObject_CallMethodOneArg(operand.object, name, target_.torch_stream));
  }

  void done() { target_.state.kept.keep(objects_.data(), objects_.size()); }

 private:
  // A buffer of the pool may be freed by name while the object lives.
  void lend(const Operand& operand) {
    if (operand.is_tensor) return;
    AclPinned::pool().record_use(operand.pointer, operand.nbytes, target_.state.point());
  }

  const Target& target_;
  std::vector<PyObject*> objects_;
};

class Memcpy {
 public:
  explicit Memcpy(int index) : index_(index) {}

  bool copy(py::handle dst, py::handle src, std::uintptr_t handle, py::handle stream) {
    const auto pair = accel::check_pair<StridedPlan>(dst.ptr(), "dst", src.ptr(), "src",
                                                     parse_operand);
    if (pair.dst.nbytes == 0) return true;
    const Target target = target_of(handle, stream);
    const Place to = place_of(pair.dst, index_), from = place_of(pair.src, index_);
    CopyIssue issue(target.state);
    if (pair.plan == nullptr) {
      issue.flat(pair.dst.pointer, to, pair.src.pointer, from, pair.dst.nbytes);
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
  std::vector<std::size_t> copy_batch(py::handle dsts, py::handle srcs, std::uintptr_t handle,
                                      py::handle stream) {
    const auto pairs = accel::check_batch<StridedPlan>(dsts.ptr(), srcs.ptr(), parse_operand);
    std::vector<std::pair<Place, Place>> places;
    places.reserve(pairs.size());
    for (const auto& pair : pairs) {
      places.emplace_back(place_of(pair.dst, index_), place_of(pair.src, index_));
    }
    const Target target = target_of(handle, stream);
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
    issue_batch(target.state, std::move(flat));
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

  void copy_2d(py::handle dst, py::handle src, py::handle width, py::handle height,
               py::handle dst_pitch, py::handle src_pitch, std::uintptr_t handle,
               py::handle stream) {
    const auto rows = accel::check_rows<StridedPlan>(dst.ptr(), src.ptr(), width.ptr(),
                                                     height.ptr(), dst_pitch.ptr(),
                                                     src_pitch.ptr(), parse_operand);
    if (rows.plan == nullptr) return;
    const Target target = target_of(handle, stream);
    const Place to = place_of(rows.dst, index_), from = place_of(rows.src, index_);
    CopyIssue(target.state).rows(*rows.plan, rows.dst.pointer, to, rows.src.pointer, from);
    Keeper keeper(target);
    keeper.add(rows.dst, to);
    keeper.add(rows.src, from);
    keeper.done();
  }

  bool fill(py::handle dst, py::handle value, std::uintptr_t handle, py::handle stream) {
    const auto fill = accel::check_fill<StridedPlan>(dst.ptr(), value.ptr(), parse_operand);
    if (fill.dst.nbytes == 0) return true;
    const Target target = target_of(handle, stream);
    const Place place = place_of(fill.dst, index_);
    const StridedPlan flat({}, fill.dst.nbytes);
    const StridedPlan& plan = fill.plan == nullptr ? flat : *fill.plan;
    if (!CopyIssue(target.state).fill(plan, fill.dst.pointer, place, fill.value)) return false;
    Keeper keeper(target);
    keeper.add(fill.dst, place);
    keeper.done();
    return true;
  }

 private:
  Target target_of(std::uintptr_t handle, py::handle stream) const {
    return {StreamState::of(index_, reinterpret_cast<StreamHandle>(handle)), stream.ptr()};
  }

  const int index_;
};

}  // namespace

void bind_memcpy(py::module_& module) {
  accel::detail::private_device() = "npu";
  py::class_<Memcpy>(module, "Memcpy",
                     "Copies by ACL. `handle` is the stream's, behind what torch_npu has queued "
                     "for it; `torch_stream` is its torch.npu.Stream.")
      .def(py::init<int>(), "device_index"_a)
      .def("copy", &Memcpy::copy, "dst"_a, "src"_a, "handle"_a, "torch_stream"_a,
           "Queue a copy; False, with nothing queued, when it takes operators of the device.")
      .def("copy_batch", &Memcpy::copy_batch, "dsts"_a, "srcs"_a, "handle"_a, "torch_stream"_a,
           "Queue all copies but those whose indices it returns: they take operators.")
      .def("copy_2d", &Memcpy::copy_2d, "dst"_a, "src"_a, "width"_a, "height"_a, "dst_pitch"_a,
           "src_pitch"_a, "handle"_a, "torch_stream"_a, "Queue a copy of rows.")
      .def("fill", &Memcpy::fill, "dst"_a, "value"_a, "handle"_a, "torch_stream"_a,
           "Queue a fill; False, with nothing queued, when it takes operators of the device.");
}

}  // namespace accel_ascend
