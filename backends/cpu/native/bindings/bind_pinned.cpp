// The pinned pool for Python.

#include <accel/errors.hpp>
#include <accel/operand.hpp>
#include <pybind11/stl.h>

#include "../runtime/fault.hpp"
#include "../runtime/host_pages.hpp"
#include "bindings.hpp"
#include "pinned_buffer.hpp"
#include "submit.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace accel_cpu {

PinnedBlock& PinnedBuffer::block() const {
  if (block_ == nullptr) {
    throw ArgumentFault(ArgumentFault::Kind::Freed, "buffer", "a buffer that was not freed",
                        "one of " + std::to_string(nbytes_) + " bytes that was");
  }
  return *block_;
}

void PinnedBuffer::free() {
  PinnedBlock& held = block();
  if (leases_ > 0) {
    throw Fault(Fault::Kind::State,
                "the buffer cannot be freed while tensors (or memoryviews) over it "
                "exist: drop them first, or let go of the buffer and have it freed "
                "with the last of them");
  }
  block_ = nullptr;
  PinnedPool::instance().free(&held);
}

namespace {

// --- the buffer protocol -------------------------------------------------------------------------

int get_buffer(PyObject* lease, Py_buffer* view, int flags) {
  const auto& buffer = py::cast<Lease&>(py::handle(lease)).buffer();
  return PyBuffer_FillInfo(view, lease, buffer.block().base,
                           static_cast<Py_ssize_t>(buffer.nbytes()), 0, flags);
}

// The buffer exports through a fresh lease: `view->obj` is that lease, and keeps the buffer alive.
int get_leased_buffer(PyObject* self, Py_buffer* view, int flags) {
  view->obj = nullptr;
  try {
    if (py::cast<PinnedBuffer&>(py::handle(self)).freed()) {
      accel::fail("FreedError", "buffer", "a buffer that was not freed", "one that was");
    }
    const py::object lease =
        py::cast(std::make_unique<Lease>(py::reinterpret_borrow<py::object>(self)));
    return get_buffer(lease.ptr(), view, flags);
  } catch (const accel::ErrorSet&) {
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_BufferError, error.what());
  }
  return -1;
}

void set_buffer_slot(PyHeapTypeObject* type, getbufferproc get) {
  type->as_buffer.bf_getbuffer = get;
  type->ht_type.tp_as_buffer = &type->as_buffer;
}

// --- tensors -------------------------------------------------------------------------------------

struct Extents {
  py::tuple sizes;
  std::size_t count;  // of elements
  bool countable;     // false when the count does not fit 64 bits
};

Extents parse_shape(const py::object& shape) {
  const auto refuse = [&] {
    PyErr_Clear();
    accel::fail("ShapeError", "shape", "an integer or a sequence of integers, at least 0",
                accel::describe(shape.ptr()));
  };
  Extents extents{py::tuple(), 1, true};
  if (PyIndex_Check(shape.ptr()) != 0) {
    extents.sizes = py::make_tuple(shape);
  } else {
    extents.sizes = py::reinterpret_steal<py::tuple>(PySequence_Tuple(shape.ptr()));
    if (!extents.sizes) refuse();
  }
  for (const py::handle extent : extents.sizes) {
    const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(extent.ptr()));
    if (!index) refuse();
    const long long n = PyLong_AsLongLong(index.ptr());
    if (n < 0) refuse();
    if (n == 0) return {extents.sizes, 0, true};
    extents.countable =
        extents.countable &&
        !__builtin_mul_overflow(extents.count, static_cast<std::size_t>(n), &extents.count);
  }
  return extents;
}

// Bytes of a tensor of this shape.
std::size_t nbytes_of(const py::object& shape, std::size_t itemsize) {
  const Extents extents = parse_shape(shape);
  std::size_t nbytes = 0;
  if (!extents.countable || __builtin_mul_overflow(extents.count, itemsize, &nbytes) ||
      nbytes > static_cast<std::size_t>(PY_SSIZE_T_MAX)) {
    accel::fail("SizeError", "shape", "fewer than 2**63 bytes", accel::describe(shape.ptr()));
  }
  return nbytes;
}

py::object tensor_over(const py::object& self, py::object dtype, const py::object& shape) {
  const auto& buffer = py::cast<PinnedBuffer&>(self);
  buffer.block();  // FreedError once freed
  const py::module_ torch = py::module_::import("torch");
  if (dtype.is_none()) dtype = torch.attr("uint8");
  if (!py::isinstance(dtype, torch.attr("dtype"))) {
    accel::fail("DTypeError", "dtype", "a torch.dtype", accel::describe(dtype.ptr()));
  }
  const auto itemsize = py::cast<std::size_t>(dtype.attr("itemsize"));
  Extents extents{py::make_tuple(buffer.nbytes() / itemsize), buffer.nbytes() / itemsize, true};
  if (!shape.is_none()) {
    extents = parse_shape(shape);
    if (!extents.countable || extents.count > buffer.nbytes() / itemsize) {
      accel::fail(
          "SizeError", "shape",
          "at most " + std::to_string(buffer.nbytes()) + " bytes, the size of the buffer",
          accel::describe(shape.ptr()) + " of " + std::to_string(itemsize) + "-byte elements");
    }
  }
  const auto& [sizes, count, countable] = extents;
  if (count == 0) return torch.attr("empty")(sizes, "dtype"_a = dtype);
  return torch.attr("frombuffer")(self, "dtype"_a = dtype, "count"_a = count).attr("view")(sizes);
}

// --- the pool ------------------------------------------------------------------------------------

int node_argument(const py::object& node) {
  if (node.is_none()) return -1;
  const long value = PyLong_AsLong(node.ptr());
  if (value == -1 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    accel::fail("ArgumentError", "numa_node", "a node number, or None",
                accel::describe(node.ptr()));
  }
  if (value < 0 || value > 1 << 16) {
    accel::fail("ArgumentError", "numa_node", "one of this machine's NUMA nodes",
                std::to_string(value));
  }
  return static_cast<int>(value);
}

std::size_t size_argument(const py::object& nbytes, const char* name = "nbytes") {
  py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(nbytes.ptr()));
  if (!index) {
    PyErr_Clear();
    accel::fail("DTypeError", name, "a number of bytes", accel::describe(nbytes.ptr()));
  }
  const long long value = PyLong_AsLongLong(index.ptr());
  if (value < 0 || PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    accel::fail("SizeError", name, "0 to 2**63 - 1 bytes", accel::describe(nbytes.ptr()));
  }
  return static_cast<std::size_t>(value);
}

using MakeBlock = PinnedBlock* (PinnedPool::*)(std::size_t, int, bool);

template <MakeBlock kMake>
std::unique_ptr<PinnedBuffer> make_buffer(const py::object& nbytes, const py::object& numa_node,
                                          bool huge_pages) {
  const std::size_t size = size_argument(nbytes);
  const int node = node_argument(numa_node);
  drain_graveyard();  // may hold the last references to buffers
  PinnedBlock* block = nullptr;
  {
    py::gil_scoped_release unlocked;
    block = (PinnedPool::instance().*kMake)(size, node, huge_pages);
  }
  return std::make_unique<PinnedBuffer>(block);
}

struct Range {
  std::uintptr_t pointer;
  std::size_t nbytes;
};

// The bytes of a buffer, a tensor or a MemRef; those of a strided tensor from its first to its
// last.
Range range_of(const py::object& memory) {
  if (py::isinstance<PinnedBuffer>(memory)) {
    const PinnedBlock& block = py::cast<PinnedBuffer&>(memory).block();
    return {reinterpret_cast<std::uintptr_t>(block.base), block.nbytes};
  }
  const auto operand = accel::Operand::parse(memory.ptr(), "memory");
  operand.require_cpu();
  if (operand.contiguous) return {operand.pointer, operand.nbytes};
  const auto strides = operand.strides();
  std::int64_t last = strides.itemsize;
  for (std::size_t k = 0; k < strides.shape.size(); ++k) {
    last += (strides.shape[k] - 1) * strides.bytes[k];
  }
  return {operand.pointer, static_cast<std::size_t>(last)};
}

bool is_pinned(const py::object& memory) {
  const Range range = range_of(memory);
  return PinnedPool::instance().is_pinned(range.pointer, range.nbytes);
}

void record_stream(const py::object& memory, const py::object& stream) {
  const auto native = resolve_stream(stream);
  const Range range = range_of(memory);
  if (!PinnedPool::instance().record_use(range.pointer, range.nbytes, native->point())) {
    accel::fail("ArgumentError", "memory", "memory of the pinned pool",
                std::to_string(range.nbytes) + " bytes at " + std::to_string(range.pointer),
                "allocate it with backend.pinned.allocate or empty");
  }
}

py::tuple register_memory(const py::object& memory) {
  const Range range = range_of(memory);
  if (range.nbytes == 0) accel::fail("SizeError", "memory", "at least 1 byte", "0 bytes");
  {
    py::gil_scoped_release unlocked;  // locking touches every page
    PinnedPool::instance().register_range(range.pointer, range.nbytes);
  }
  return py::make_tuple(range.pointer, range.nbytes);
}

py::tuple unregister_memory(const py::object& memory) {
  const Range range = range_of(memory);
  PinnedPool::instance().unregister_range(range.pointer, range.nbytes);
  return py::make_tuple(range.pointer, range.nbytes);
}

py::dict stats() {
  const PinnedPoolStats s = PinnedPool::instance().stats();
  return py::dict("in_use"_a = s.in_use, "cached"_a = s.cached, "peak_in_use"_a = s.peak_in_use,
                  "limit"_a = s.limit, "locked"_a = s.locked, "huge"_a = s.huge,
                  "registered"_a = s.registered, "shared"_a = s.shared,
                  "allocations"_a = s.allocations, "cache_hits"_a = s.cache_hits,
                  "waits"_a = s.waits);
}

}  // namespace

void bind_pinned(py::module_& module) {
  py::class_<Lease>(
      module, "_Lease", "Keeps a pinned buffer's memory handed out.",
      py::custom_type_setup([](PyHeapTypeObject* type) { set_buffer_slot(type, get_buffer); }));
  py::class_<PinnedBuffer>(module, "PinnedBuffer",
                           "A block of pinned memory; see accel.providers.PinnedBuffer.",
                           py::custom_type_setup([](PyHeapTypeObject* type) {
                             set_buffer_slot(type, get_leased_buffer);
                           }))
      .def_property_readonly(
          "pointer",
          [](const PinnedBuffer& b) { return reinterpret_cast<std::uintptr_t>(b.block().base); },
          "address of the first byte, 4096-aligned")
      .def_property_readonly("nbytes", &PinnedBuffer::nbytes, "the size asked for")
      .def_property_readonly(
          "pinned", [](const PinnedBuffer& b) { return b.block().locked; },
          "False where the operating system refused to lock it; see notes")
      .def_property_readonly(
          "numa_node",
          [](const PinnedBuffer& b) -> py::object {
            if (b.block().node < 0) return py::none();
            return py::int_(b.block().node);
          },
          "the node it was bound to, or None")
      .def_property_readonly(
          "huge_pages", [](const PinnedBuffer& b) { return b.block().huge; },
          "True when backed by huge pages, or advised to be")
      .def_property_readonly(
          "notes", [](const PinnedBuffer& b) { return b.block().note; },
          "what the operating system granted or refused")
      .def_property_readonly(
          "handle",
          [](const PinnedBuffer& b) {
            const auto& segment = b.block().segment;
            return segment == nullptr ? std::string() : segment->name();
          },
          "name by which another process opens a shared segment; empty when not shared")
      .def_property_readonly("freed", &PinnedBuffer::freed)
      .def("tensor", &tensor_over, "dtype"_a = py::none(), "shape"_a = py::none(),
           "A CPU tensor over the block (uint8 and flat by default) that keeps it alive.")
      .def("free", &PinnedBuffer::free, "Give the block back to the pool.")
      .def("__repr__", [](const PinnedBuffer& b) {
        const std::string size = std::to_string(b.nbytes()) + " bytes";
        if (b.freed()) return "<accel_cpu.PinnedBuffer " + size + ", freed>";
        return "<accel_cpu.PinnedBuffer " + size + (b.block().locked ? "" : ", not locked") + ">";
      });

  module.def("pinned_allocate", &make_buffer<&PinnedPool::allocate>, "nbytes"_a, py::kw_only(),
             "numa_node"_a = py::none(), "huge_pages"_a = false);
  module.def("pinned_create_shared", &make_buffer<&PinnedPool::create_shared>, "nbytes"_a,
             py::kw_only(), "numa_node"_a = py::none(), "huge_pages"_a = false);
  module.def(
      "pinned_open_shared",
      [](const std::string& handle) {
        return std::make_unique<PinnedBuffer>(PinnedPool::instance().open_shared(handle));
      },
      "handle"_a);
  module.def("nbytes_of", &nbytes_of, "shape"_a, "itemsize"_a);
  module.def("is_pinned", &is_pinned, "memory"_a);
  module.def("record_stream", &record_stream, "memory"_a, "stream"_a);
  module.def("register_memory", &register_memory, "memory"_a);
  module.def("unregister_memory", &unregister_memory, "memory"_a);
  module.def("pinned_stats", &stats);
  module.def(
      "pinned_set_limit",
      [](const py::object& nbytes) { PinnedPool::instance().set_limit(size_argument(nbytes)); },
      "nbytes"_a);
  module.def("pinned_trim", [] {
    drain_graveyard();
    return PinnedPool::instance().trim();
  });
  module.def("numa_nodes", &numa_nodes);
  module.def("numa_binding_works", [] {
    std::string why;
    const bool works = numa_binding_works(why);
    return py::make_tuple(works, why);
  });
  module.def("huge_page_policy", &huge_page_policy, "shared"_a = false);
}

}  // namespace accel_cpu
