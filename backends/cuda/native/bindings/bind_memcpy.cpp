// Copies and fills for Python: operands are checked in full, then given to the stream, then kept
// until it is past them.

#include <accel/copy_checks.hpp>
#include <accel/errors.hpp>

#include <array>
#include <vector>

#include "../runtime/copy_limits.hpp"
#include "../runtime/pending.hpp"
#include "bindings.hpp"
#include "copy_batch.hpp"
#include "copy_elsewhere.hpp"
#include "copy_issue.hpp"
#include "copy_operands.hpp"
#include "pinned.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace accel_cuda {
namespace {

using accel::Operand;
using accel::StridedPlan;
using Pair = accel::CopyPair<StridedPlan>;

// What the work uses stays its own until it has run. torch's allocator is told of the stream for
// tensors of a device; blocks of the pinned pool remember it; everything else is referred to. A
// capture makes the graph refer to all of them.
template <class Operands>
void keep_operands(Runtime& runtime, StreamHandle stream, const Operands& operands,
                   bool capturing) {
  // Telling torch takes half a microsecond a tensor; of many the references are kept instead.
  const bool tell_torch = std::size(operands) <= 8 && !capturing;
  std::array<PyObject*, 2> few;
  std::vector<PyObject*> many;
  std::size_t count = 0;
  const bool room = std::size(operands) <= few.size();
  if (!room) many.resize(std::size(operands));
  PyObject** const held = room ? few.data() : many.data();
  auto& pool = CudaPinned::pool();
  const bool any_pinned = pool.anything_in_use() && !capturing;
  bool in_pool = false;
  for (const Operand* operand : operands) {
    if (operand->nbytes == 0) continue;
    if (operand->is_tensor && operand->is_gpu && tell_torch) {
      record_use(runtime, stream, operand->object);
      continue;
    }
    const bool pooled = any_pinned && operand->is_cpu &&
                        pool.holds(operand->pointer, operand->contiguous ? operand->nbytes : 1);
    in_pool = in_pool || pooled;
    if (operand->is_tensor) {
      if (!pooled) held[count++] = operand->object;
    } else if (operand->has_owner) {
      held[count++] = operand->object;
    }
  }
  if (in_pool) {
    const accel::StreamPoint point = point_of(runtime, stream);
    for (const Operand* operand : operands) {
      if (!operand->is_cpu || operand->nbytes == 0) continue;
      pool.record_use(operand->pointer, operand->contiguous ? operand->nbytes : 1, point);
    }
  }
  if (count > 0) keep(runtime, stream, held, count);
}

// The copies of one device.
class Memcpy {
 public:
  explicit Memcpy(int index) : device_(Device::get(index)), runtime_(Runtime::of(device_)) {}

  void copy_async(py::handle dst, py::handle src, py::handle stream) {
    give(dst, src, resolve_stream(stream, device_), "copy_async");
  }

  void copy(py::handle dst, py::handle src, py::handle stream) {
    const StreamHandle target = resolve_stream(stream, device_);
    if (is_capturing(target)) {
      accel::fail_message("StateError",
                          "copy waits for its bytes, which work that is captured into a graph "
                          "does not bring: use copy_async");
    }
    if (!give(dst, src, target, "copy")) return;
    seal(runtime_, runtime_.state(target));
    wait_interruptibly([&] {
      Current current(device_);
      const Result result = driver().stream_query(target);
      if (result == kNotReady) return false;
      check(result, Entry::stream_query);
      return true;
    });
    release_all(runtime_, runtime_.state(target));
  }

  void copy_batch(py::handle dsts, py::handle srcs, py::handle stream) {
    const StreamHandle target = resolve_stream(stream, device_);
    const auto pairs = accel::check_batch<StridedPlan>(dsts.ptr(), srcs.ptr(), parse_operand);
    std::vector<PlacedPair> placed;
    std::vector<const Operand*> operands;
    placed.reserve(pairs.size());
    operands.reserve(2 * pairs.size());
    for (const Pair& pair : pairs) {
      if (pair.dst.nbytes == 0) continue;
      placed.push_back({&pair, place_of(pair.dst, device_), place_of(pair.src, device_)});
      operands.push_back(&pair.dst);
      operands.push_back(&pair.src);
    }
    if (placed.empty()) return;
    issue_batch(runtime_, target, placed);
    keep_operands(runtime_, target, operands, is_capturing(target));
  }

  void copy_2d(py::handle dst, py::handle src, py::handle width, py::handle height,
               py::handle dst_pitch, py::handle src_pitch, py::handle stream) {
    const StreamHandle target = resolve_stream(stream, device_);
    const auto rows =
        accel::check_rows<StridedPlan>(dst.ptr(), src.ptr(), width.ptr(), height.ptr(),
                                       dst_pitch.ptr(), src_pitch.ptr(), parse_operand);
    const Place to = place_of(rows.dst, device_), from = place_of(rows.src, device_);
    if (rows.plan == nullptr) return;
    CopyIssue issue(runtime_, target, "copy_2d");
    issue.strided(*rows.plan, rows.dst.pointer, to, rows.src.pointer, from);
    keep_operands(runtime_, target, std::array{&rows.dst, &rows.src}, issue.capturing());
  }

  void fill(py::handle dst, py::handle value, py::handle stream) {
    const StreamHandle target = resolve_stream(stream, device_);
    const auto checked = accel::check_fill<StridedPlan>(dst.ptr(), value.ptr(), parse_operand);
    const Place place = place_of(checked.dst, device_);
    if (checked.dst.nbytes == 0) return;
    CopyIssue issue(runtime_, target, "fill");
    if (checked.plan != nullptr) {
      issue.fill_strided(*checked.plan, checked.dst.pointer, place, checked.value);
    } else {
      issue.fill(checked.dst.pointer, place, checked.value, checked.dst.nbytes);
    }
    keep_operands(runtime_, target, std::array{&checked.dst}, issue.capturing());
  }

  py::tuple memory_info() const {
    std::size_t free = 0, total = 0;
    {
      py::gil_scoped_release unlocked;
      Current current(device_);
      ACCEL_CUDA_CALL(memory_info, &free, &total);
    }
    return py::make_tuple(free, total);
  }

 private:
  // False when there was nothing to do.
  bool give(py::handle dst, py::handle src, StreamHandle target, const char* call) {
    const Pair pair =
        accel::check_pair<StridedPlan>(dst.ptr(), "dst", src.ptr(), "src", parse_operand);
    const Place to = place_of(pair.dst, device_), from = place_of(pair.src, device_);
    if (pair.dst.nbytes == 0) return false;
    CopyIssue issue(runtime_, target, call);
    if (pair.plan != nullptr) {
      issue.strided(*pair.plan, pair.dst.pointer, to, pair.src.pointer, from);
    } else {
      issue.flat(pair.dst.pointer, to, pair.src.pointer, from, pair.dst.nbytes);
    }
    keep_operands(runtime_, target, std::array{&pair.dst, &pair.src}, issue.capturing());
    return true;
  }

  const Device& device_;
  Runtime& runtime_;
};

// The limits now; those that are given become so.
py::dict change_limits(const py::kwargs& given) {
  CopyLimits& limits = copy_limits();
  const std::pair<const char*, std::size_t*> all[] = {
      {"kernel_on_device", &limits.kernel_on_device},
      {"batch_on_device", &limits.batch_on_device},
      {"batch_with_host", &limits.batch_with_host},
      {"rows_by_engine", &limits.rows_by_engine},
      {"rows_from", &limits.rows_from}};
  py::dict now;
  for (const auto& [name, value] : all) {
    if (given.contains(name)) *value = py::cast<std::size_t>(given[name]);
    now[name] = *value;
  }
  return now;
}

// The launches that a strided copy becomes, for tests: kernel, blocks, argument struct.
py::list strided_launches(const std::vector<std::int64_t>& shape,
                          const std::vector<std::int64_t>& dst_strides,
                          const std::vector<std::int64_t>& src_strides, std::int64_t itemsize,
                          std::uintptr_t dst, std::uintptr_t src, unsigned most_blocks,
                          const py::object& fill) {
  const StridedPlan plan(shape, dst_strides, src_strides, itemsize);
  const auto launches =
      fill.is_none() ? plan_copy(plan, dst, src, most_blocks)
                     : plan_fill(plan, dst, py::cast<std::uint8_t>(fill), most_blocks);
  const char* const names[] = {"copy_strided_", "fill_strided_", "copy_rows_", "copy_tiles_"};
  py::list result;
  for (const StridedLaunch& each : launches) {
    result.append(py::make_tuple(
        names[static_cast<int>(each.kernel)] + std::to_string(each.unit), each.blocks,
        py::bytes(static_cast<const char*>(each.data()), each.nbytes())));
  }
  return result;
}

}  // namespace

void bind_memcpy(py::module_& module) {
  py::class_<Memcpy>(module, "Memcpy", "The copies of one device; see accel.providers.Memcpy.")
      .def(py::init<int>(), "device_index"_a)
      .def("copy", &Memcpy::copy, "dst"_a, "src"_a, "stream"_a = py::none())
      .def("copy_async", &Memcpy::copy_async, "dst"_a, "src"_a, "stream"_a = py::none())
      .def("copy_batch", &Memcpy::copy_batch, "dsts"_a, "srcs"_a, "stream"_a = py::none())
      .def("copy_2d", &Memcpy::copy_2d, "dst"_a, "src"_a, py::kw_only(), "width"_a, "height"_a,
           "dst_pitch"_a, "src_pitch"_a, "stream"_a = py::none())
      .def("fill", &Memcpy::fill, "dst"_a, "value"_a, "stream"_a = py::none())
      .def("memory_info", &Memcpy::memory_info);
  module.def("use_copy_kernels", &use_kernels, "find"_a,
             "find(device_index, file, kernel) gives the handle of one of this package's kernels.");
  module.def("load_copy_kernels", [](int index) { CopyKernels::of(Device::get(index)); },
             "device_index"_a, "Load the kernels now, while no stream is held up.");
  module.def("use_scratch", &use_scratch, "allocate"_a, "release"_a,
             "allocate(nbytes, device_index, stream) gives device memory that is used on that "
             "stream only; release(address) takes it back.");
  module.def("copy_limits", &change_limits,
             "Sizes at which copies change from one way to another; keyword arguments set them.");
  module.def("strided_launches", &strided_launches, "shape"_a, "dst_strides"_a, "src_strides"_a,
             "itemsize"_a, "dst"_a, "src"_a, "most_blocks"_a, "fill"_a = py::none(),
             "The launches that a strided copy (or fill) becomes: (kernel, blocks, arguments).");
}

}  // namespace accel_cuda
