// The pinned pool for Python, the same for every native module that has one.
//
//   struct Mine {
//     static accel::PinnedPool& pool();
//     static const char* package();                          // for repr
//     static void release_finished();                        // what finished work kept alive
//     static accel::StreamPoint point(py::handle stream);    // all work given to it so far
//   };
//   accel::PinnedModule<Mine>::bind(module);
//
// pybind11 registers C++ types for the whole process, so every module has its own: they are
// templates over `Mine`.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "errors.hpp"
#include "operand.hpp"
#include "pinned_arguments.hpp"
#include "pinned_buffer.hpp"
#include "pinned_pool.hpp"

namespace accel {

template <class Mine>
class PinnedModule {
 public:
  using Buffer = PinnedBuffer<Mine>;
  using Lease = typename Buffer::Lease;

  static void bind(pybind11::module_& module);

  // Whether `object` is a buffer of this module that was freed.
  static bool is_freed(PyObject* object) {
    pybind11::detail::make_caster<Buffer> buffer;
    return buffer.load(object, false) && pybind11::detail::cast_op<Buffer&>(buffer).freed();
  }

 private:
  using Object = pybind11::object;
  using MakeBlock = PinnedBlock* (PinnedPool::*)(std::size_t, int, bool);
  struct Range {
    std::uintptr_t pointer;
    std::size_t nbytes;
  };

  static void set_buffer_slot(PyHeapTypeObject* type, getbufferproc get) {
    type->as_buffer.bf_getbuffer = get;
    type->ht_type.tp_as_buffer = &type->as_buffer;
  }

  static Buffer& buffer_of(PyObject* self) {
    return pybind11::cast<Buffer&>(pybind11::handle(self));
  }

  static int get_buffer(PyObject* lease, Py_buffer* view, int flags) {
    const Buffer& buffer = pybind11::cast<Lease&>(pybind11::handle(lease)).buffer();
    return PyBuffer_FillInfo(view, lease, buffer.block().base,
                             static_cast<Py_ssize_t>(buffer.nbytes()), 0, flags);
  }

  // The buffer exports through a fresh lease: `view->obj` is that lease, and keeps the buffer
  // alive.
  static int get_leased_buffer(PyObject* self, Py_buffer* view, int flags) {
    view->obj = nullptr;
    try {
      if (buffer_of(self).freed()) {
        fail("FreedError", "buffer", "a buffer that was not freed", "one that was");
      }
      const Object lease = pybind11::cast(
          std::make_unique<Lease>(pybind11::reinterpret_borrow<Object>(self)));
      return get_buffer(lease.ptr(), view, flags);
    } catch (const ErrorSet&) {
    } catch (pybind11::error_already_set& error) {
      error.restore();
    } catch (const std::exception& error) {
      PyErr_SetString(PyExc_BufferError, error.what());
    }
    return -1;
  }

  template <MakeBlock kMake>
  static std::unique_ptr<Buffer> make_buffer(const Object& nbytes, const Object& numa_node,
                                             bool huge_pages) {
    const std::size_t size = detail::size_argument(nbytes);
    const int node = detail::node_argument(numa_node);
    Mine::release_finished();  // may hold the last references to buffers
    PinnedBlock* block = nullptr;
    {
      pybind11::gil_scoped_release unlocked;
      block = (Mine::pool().*kMake)(size, node, huge_pages);
    }
    return std::make_unique<Buffer>(block);
  }

  static std::unique_ptr<Buffer> open_shared(const std::string& handle) {
    PinnedBlock* block = nullptr;
    {
      pybind11::gil_scoped_release unlocked;
      block = Mine::pool().open_shared(handle);
    }
    return std::make_unique<Buffer>(block);
  }

  // The bytes of a buffer, a tensor or a MemRef; those of a strided tensor from its first to its
  // last.
  static Range range_of(const Object& memory) {
    if (pybind11::isinstance<Buffer>(memory)) {
      const PinnedBlock& block = pybind11::cast<Buffer&>(memory).block();
      return {reinterpret_cast<std::uintptr_t>(block.base), block.nbytes};
    }
    const Operand operand = Operand::parse(memory.ptr(), "memory");
    operand.require_cpu();
    if (operand.contiguous) return {operand.pointer, operand.nbytes};
    const Strides strides = operand.strides();
    std::int64_t last = strides.itemsize;
    for (std::size_t k = 0; k < strides.shape.size(); ++k) {
      last += (strides.shape[k] - 1) * strides.bytes[k];
    }
    return {operand.pointer, static_cast<std::size_t>(last)};
  }

  static bool is_pinned(const Object& memory) {
    const Range range = range_of(memory);
    return Mine::pool().is_pinned(range.pointer, range.nbytes);
  }

  static void record_stream(const Object& memory, const Object& stream) {
    const StreamPoint point = Mine::point(stream);
    const Range range = range_of(memory);
    if (Mine::pool().record_use(range.pointer, range.nbytes, point)) return;
    fail("ArgumentError", "memory", "memory of the pinned pool",
         std::to_string(range.nbytes) + " bytes at " + std::to_string(range.pointer),
         "allocate it with backend.pinned.allocate or empty");
  }

  static std::uintptr_t register_memory(const Object& memory) {
    const Range range = range_of(memory);
    if (range.nbytes == 0) fail("SizeError", "memory", "at least 1 byte", "0 bytes");
    pybind11::gil_scoped_release unlocked;  // locking touches every page
    Mine::pool().register_range(range.pointer, range.nbytes);
    return range.pointer;
  }

  static std::uintptr_t unregister_memory(const Object& memory) {
    const Range range = range_of(memory);
    pybind11::gil_scoped_release unlocked;  // may wait for a device
    Mine::pool().unregister_range(range.pointer, range.nbytes);
    return range.pointer;
  }

  static pybind11::dict stats() {
    using pybind11::literals::operator""_a;
    const PinnedPoolStats s = Mine::pool().stats();
    return pybind11::dict(
        "in_use"_a = s.in_use, "cached"_a = s.cached, "peak_in_use"_a = s.peak_in_use,
        "limit"_a = s.limit, "locked"_a = s.locked, "huge"_a = s.huge,
        "registered"_a = s.registered, "shared"_a = s.shared, "allocations"_a = s.allocations,
        "cache_hits"_a = s.cache_hits, "waits"_a = s.waits);
  }

  static std::string describe_buffer(const Buffer& buffer) {
    std::string text = "<" + std::string(Mine::package()) + ".PinnedBuffer " +
                       std::to_string(buffer.nbytes()) + " bytes";
    if (buffer.freed()) {
      text += ", freed";
    } else if (!buffer.block().locked) {
      text += ", not locked";
    }
    return text + ">";
  }

  static void bind_buffer(pybind11::module_& module);
};

template <class Mine>
void PinnedModule<Mine>::bind_buffer(pybind11::module_& module) {
  namespace py = pybind11;
  using py::literals::operator""_a;
  py::class_<Lease>(module, "_Lease", "Keeps a pinned buffer's memory handed out.",
                    py::custom_type_setup([](PyHeapTypeObject* type) {
                      set_buffer_slot(type, get_buffer);
                    }));
  py::class_<Buffer>(module, "PinnedBuffer",
                     "A block of pinned memory; see accel.providers.PinnedBuffer.",
                     py::custom_type_setup([](PyHeapTypeObject* type) {
                       set_buffer_slot(type, get_leased_buffer);
                     }))
      .def_property_readonly(
          "pointer",
          [](const Buffer& b) { return reinterpret_cast<std::uintptr_t>(b.block().base); },
          "address of the first byte, 4096-aligned")
      .def_property_readonly("nbytes", &Buffer::nbytes, "the size asked for")
      .def_property_readonly(
          "pinned", [](const Buffer& b) { return b.block().locked; },
          "False where the operating system refused to lock it; see notes")
      .def_property_readonly(
          "numa_node",
          [](const Buffer& b) -> py::object {
            if (b.block().node < 0) return py::none();
            return py::int_(b.block().node);
          },
          "the node it was bound to, or None")
      .def_property_readonly(
          "huge_pages", [](const Buffer& b) { return b.block().huge; },
          "True when backed by huge pages, or advised to be")
      .def_property_readonly(
          "notes", [](const Buffer& b) { return b.block().note; },
          "what the operating system granted or refused")
      .def_property_readonly(
          "handle",
          [](const Buffer& b) {
            const auto& segment = b.block().segment;
            return segment == nullptr ? std::string() : segment->name();
          },
          "name by which another process opens a shared segment; empty when not shared")
      .def_property_readonly("freed", &Buffer::freed)
      .def(
          "tensor",
          [](const py::object& self, const py::object& dtype, const py::object& shape) {
            const auto& buffer = py::cast<Buffer&>(self);
            buffer.block();  // FreedError once freed
            return detail::tensor_over(self, buffer.nbytes(), dtype, shape);
          },
          "dtype"_a = py::none(), "shape"_a = py::none(),
          "A CPU tensor over the block (uint8 and flat by default) that keeps it alive.")
      .def("free", &Buffer::free, "Give the block back to the pool.")
      .def("__repr__", &describe_buffer);
}

template <class Mine>
void PinnedModule<Mine>::bind(pybind11::module_& module) {
  namespace py = pybind11;
  using py::literals::operator""_a;
  bind_buffer(module);
  module.def("pinned_allocate", &make_buffer<&PinnedPool::allocate>, "nbytes"_a, py::kw_only(),
             "numa_node"_a = py::none(), "huge_pages"_a = false);
  module.def("pinned_create_shared", &make_buffer<&PinnedPool::create_shared>, "nbytes"_a,
             py::kw_only(), "numa_node"_a = py::none(), "huge_pages"_a = false);
  module.def("pinned_open_shared", &open_shared, "handle"_a);
  module.def("nbytes_of", &detail::bytes_of_shape, "shape"_a, "itemsize"_a);
  module.def("is_pinned", &is_pinned, "memory"_a);
  module.def("record_stream", &record_stream, "memory"_a, "stream"_a);
  module.def("register_memory", &register_memory, "memory"_a);
  module.def("unregister_memory", &unregister_memory, "memory"_a);
  module.def("pinned_stats", &stats);
  module.def(
      "pinned_set_limit",
      [](const py::object& nbytes) {
        const std::size_t limit = detail::size_argument(nbytes);
        py::gil_scoped_release unlocked;
        Mine::pool().set_limit(limit);
      },
      "nbytes"_a);
  module.def("pinned_trim", [] {
    Mine::release_finished();
    py::gil_scoped_release unlocked;
    return Mine::pool().trim();
  });
  module.def("numa_nodes", &numa_nodes);
  module.def("numa_binding_works", [] {
    std::string why;
    const bool works = numa_binding_works(why);
    return py::make_tuple(works, why);
  });
  module.def("huge_page_policy", &huge_page_policy, "shared"_a = false);
}

}  // namespace accel
