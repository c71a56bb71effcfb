// Copies and fills for Python: operands are checked in full, then handed to the stream as one task.

#include <accel/copy_checks.hpp>
#include <accel/errors.hpp>
#include <accel/operand.hpp>

#include <algorithm>
#include <array>

#include "../runtime/copy_bytes.hpp"
#include "../runtime/strided_copy.hpp"
#include "bindings.hpp"
#include "pinned.hpp"
#include "submit.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace accel_cpu {
namespace {

using accel::Operand;
using CopyPair = accel::CopyPair<StridedCopy>;

// An operand of memory that the host can reach and that is still there.
Operand parse_host(PyObject* object, const std::string& name) {
  Operand operand = Operand::parse(object, name.c_str());
  operand.require_cpu();
  if (!operand.has_owner) return operand;
  const accel::Ref owner = accel::detail::attribute(object, accel::detail::names().owner);
  if (accel::PinnedModule<CpuPinned>::is_freed(owner.get())) {
    accel::fail("FreedError", name, "memory whose owner was not freed",
                accel::describe(owner.get()));
  }
  return operand;
}

CopyPair check_pair(py::handle dst, py::handle src) {
  return accel::check_pair<StridedCopy>(dst.ptr(), "dst", src.ptr(), "src", parse_host);
}

char* bytes_of(const Operand& operand) { return reinterpret_cast<char*>(operand.pointer); }

// Gives `task` to the stream. What a tensor over a pool block needs is that the block is not handed
// out again, so the block remembers the stream instead of the stream keeping the tensor: the buffer
// can then be freed while the copy is under way.
template <class F, class Operands>
void submit_copy(const std::shared_ptr<Stream>& stream, F&& task, const Operands& operands,
                 std::size_t nbytes) {
  if (stream->runs_inline()) {
    submit(stream, std::forward<F>(task), Keepalive(), nbytes);
    return;
  }
  auto& pool = CpuPinned::pool();
  const bool any_pinned = pool.anything_in_use();
  Keepalive keep;
  for (const Operand* operand : operands) {
    const bool in_pool = any_pinned && pool.holds(operand->pointer, operand->nbytes);
    if (!in_pool || !operand->is_tensor) keep.add(operand->keep());
  }
  submit(stream, std::forward<F>(task), std::move(keep), nbytes);
  if (!any_pinned) return;
  const accel::StreamPoint point = stream->point();
  for (const Operand* operand : operands) {
    pool.record_use(operand->pointer, operand->contiguous ? operand->nbytes : 1, point);
  }
}

// submit_copy, and wait until it ran.
template <class F>
void run_copy(const std::shared_ptr<Stream>& stream, F&& task, std::size_t nbytes) {
  drain_graveyard();
  if (stream->is_default() && nbytes < kReleaseGilBytes) {
    task();
    return;
  }
  py::gil_scoped_release unlocked;
  stream->run_blocking([&task] { task(); });
}

// Calls run(task, nbytes) with what moves the pair's bytes; not at all when there are none.
template <class Run>
void with_copy_task(const CopyPair& pair, Run run) {
  const std::size_t nbytes = pair.dst.nbytes;
  if (nbytes == 0) return;
  char* const dst = bytes_of(pair.dst);
  const char* const src = bytes_of(pair.src);
  if (pair.plan != nullptr) {
    run([plan = pair.plan, dst, src] { plan->copy(dst, src); }, nbytes);
  } else {
    run([dst, src, nbytes] { copy_bytes_parallel(dst, src, nbytes); }, nbytes);
  }
}

void copy(py::handle dst, py::handle src, py::handle stream) {
  const auto target = resolve_stream(stream);
  const CopyPair pair = check_pair(dst, src);
  with_copy_task(pair, [&](auto&& task, std::size_t nbytes) {
    run_copy(target, std::forward<decltype(task)>(task), nbytes);
  });
}

void copy_async(py::handle dst, py::handle src, py::handle stream) {
  const auto target = resolve_stream(stream);
  const CopyPair pair = check_pair(dst, src);
  with_copy_task(pair, [&](auto&& task, std::size_t nbytes) {
    submit_copy(target, std::forward<decltype(task)>(task), std::array{&pair.dst, &pair.src},
                nbytes);
  });
}

// --- batches -------------------------------------------------------------------------------------

struct BatchTask {
  std::vector<FlatCopy> flat;
  struct Strided {
    std::shared_ptr<const StridedCopy> plan;
    char* dst;
    const char* src;
  };
  std::vector<Strided> strided;

  void operator()() const {
    if (!flat.empty()) copy_flat_batch(flat);
    for (const Strided& each : strided) each.plan->copy(each.dst, each.src);
  }
};

void copy_batch(py::handle dsts, py::handle srcs, py::handle stream) {
  const auto target = resolve_stream(stream);
  const auto pairs = accel::check_batch<StridedCopy>(dsts.ptr(), srcs.ptr(), parse_host);
  BatchTask task;
  std::size_t nbytes = 0;
  std::vector<const Operand*> operands;
  for (const CopyPair& pair : pairs) {
    if (pair.dst.nbytes == 0) continue;
    nbytes += pair.dst.nbytes;
    operands.push_back(&pair.dst);
    operands.push_back(&pair.src);
    if (pair.plan != nullptr) {
      task.strided.push_back({pair.plan, bytes_of(pair.dst), bytes_of(pair.src)});
    } else {
      task.flat.push_back({bytes_of(pair.dst), bytes_of(pair.src), pair.dst.nbytes});
    }
  }
  if (nbytes > 0) submit_copy(target, std::move(task), operands, nbytes);
}

// --- rows ----------------------------------------------------------------------------------------

void copy_2d(py::handle dst, py::handle src, py::handle width, py::handle height,
             py::handle dst_pitch, py::handle src_pitch, py::handle stream) {
  const auto target = resolve_stream(stream);
  const auto rows =
      accel::check_rows<StridedCopy>(dst.ptr(), src.ptr(), width.ptr(), height.ptr(),
                                     dst_pitch.ptr(), src_pitch.ptr(), parse_host);
  if (rows.plan == nullptr) return;
  submit_copy(
      target,
      [plan = rows.plan, to = bytes_of(rows.dst), from = bytes_of(rows.src)] {
        plan->copy(to, from);
      },
      std::array{&rows.dst, &rows.src}, rows.plan->nbytes());
}

void fill(py::handle dst, py::handle value, py::handle stream) {
  const auto target = resolve_stream(stream);
  const auto checked = accel::check_fill<StridedCopy>(dst.ptr(), value.ptr(), parse_host);
  const std::size_t nbytes = checked.dst.nbytes;
  if (nbytes == 0) return;
  char* const to = bytes_of(checked.dst);
  if (checked.plan != nullptr) {
    submit_copy(
        target, [plan = checked.plan, to, byte = checked.value] { plan->fill(to, byte); },
        std::array{&checked.dst}, nbytes);
  } else {
    submit_copy(
        target, [to, nbytes, byte = checked.value] { fill_bytes_parallel(to, byte, nbytes); },
        std::array{&checked.dst}, nbytes);
  }
}

// --- uploads -------------------------------------------------------------------------------------

bool is_metadata(PyObject* dtype) {
  static const auto known = [] {
    const py::module_ torch = py::module_::import("torch");
    std::array<PyObject*, 4> found{};
    std::size_t i = 0;
    for (const char* name : {"int32", "int64", "float32", "float64"}) {
      found[i++] = py::object(torch.attr(name)).release().ptr();
    }
    return found;
  }();
  return std::find(known.begin(), known.end(), dtype) != known.end();
}

// The contents of `src` as they are now reach `dst` in stream order.
void upload_small(py::handle dst, py::handle src, py::handle stream) {
  const auto target = resolve_stream(stream);
  const CopyPair pair = check_pair(dst, src);
  for (const Operand* operand : {&pair.dst, &pair.src}) {
    if (operand->is_tensor) continue;
    accel::fail("DTypeError", operand->name, "a tensor", accel::describe(operand->object));
  }
  if (const accel::Ref dtype = pair.src.dtype(); !is_metadata(dtype.get())) {
    accel::fail("DTypeError", "src", "int32, int64, float32 or float64",
                accel::describe(dtype.get()), "use memcpy.copy_async for other things");
  }
  if (!pair.dst.contiguous) {
    accel::fail("ShapeError", "dst", "a contiguous tensor", "a strided one",
                "upload into a contiguous tensor and copy from there");
  }
  with_copy_task(pair, [&](auto&& copy_now, std::size_t nbytes) {
    if (target->runs_inline()) {
      submit(target, copy_now, Keepalive(), nbytes);
      return;
    }
    std::vector<char> now(nbytes);
    if (pair.plan != nullptr) {
      pair.plan->copy(now.data(), bytes_of(pair.src));
    } else {
      copy_bytes(now.data(), bytes_of(pair.src), nbytes);
    }
    submit_copy(
        target,
        [now = std::move(now), to = bytes_of(pair.dst)] { copy_bytes(to, now.data(), now.size()); },
        std::array{&pair.dst}, nbytes);
  });
}

}  // namespace

void bind_memcpy(py::module_& module) {
  module.def("copy", &copy, "dst"_a, "src"_a, "stream"_a = py::none());
  module.def("copy_async", &copy_async, "dst"_a, "src"_a, "stream"_a = py::none());
  module.def("copy_batch", &copy_batch, "dsts"_a, "srcs"_a, "stream"_a = py::none());
  module.def("copy_2d", &copy_2d, "dst"_a, "src"_a, py::kw_only(), "width"_a, "height"_a,
             "dst_pitch"_a, "src_pitch"_a, "stream"_a = py::none());
  module.def("fill", &fill, "dst"_a, "value"_a, "stream"_a = py::none());
  module.def("upload_small", &upload_small, "dst"_a, "src"_a, py::kw_only(),
             "stream"_a = py::none());
}

}  // namespace accel_cpu
