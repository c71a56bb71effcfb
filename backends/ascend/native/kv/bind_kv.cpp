// Transfers between a cache on the device and one in page-locked memory, by ACL copies.

#include "bind_kv.hpp"

#include <pybind11/stl.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <tuple>

#include "../bindings/bindings.hpp"
#include "../runtime/copy_batch.hpp"
#include "page_copies.hpp"

namespace accel_ascend {
namespace {

namespace py = pybind11;
using py::literals::operator""_a;

// A copy of fewer bytes than this costs more to describe than to pack on the device.
constexpr std::size_t kLeastBytes = 4096;

std::vector<accel_kv_plane> planes_of(const std::string& packed) {
  if (packed.empty() || packed.size() % sizeof(accel_kv_plane) != 0) {
    throw std::invalid_argument("not a plan");
  }
  std::vector<accel_kv_plane> planes(packed.size() / sizeof(accel_kv_plane));
  std::memcpy(planes.data(), packed.data(), packed.size());
  return planes;
}

class Copies {
 public:
  Copies(int index, bool to_host, std::int64_t layers, const py::bytes& planes,
         const std::vector<std::uintptr_t>& src, const std::vector<std::uintptr_t>& dst)
      : index_(index),
        to_host_(to_host),
        pages_(layers, planes_of(std::string(planes)), src, dst) {}

  // The way taken ("2d", "batch" or ""), and how many ACL calls it was.
  std::tuple<std::string, std::size_t> run(std::uintptr_t src, std::uintptr_t dst,
                                           std::size_t count, std::size_t most,
                                           std::size_t nbytes, std::uintptr_t handle) const {
    const bool batches = acl().memcpy_batch_async != nullptr;
    const std::size_t room = std::max(most, batches ? nbytes / kLeastBytes : 0);
    std::vector<PitchedCopy> copies;
    {
      py::gil_scoped_release unlocked;
      copies = pages_.list(reinterpret_cast<const std::int64_t*>(src),
                           reinterpret_cast<const std::int64_t*>(dst), count, room);
    }
    if (copies.size() > room) return {"", 0};
    StreamState& state = StreamState::of(index_, reinterpret_cast<StreamHandle>(handle));
    std::size_t pieces = 0;
    bool pitched = false;
    for (const auto& copy : copies) {
      pieces += copy.height;
      pitched = pitched || copy.height > 1;
    }
    const bool fit = !pitched || acl().memcpy_2d_async != nullptr;
    if (fit && (copies.size() == 1 || (!batches && copies.size() <= most))) {
      by_calls(state, copies);
      return {"2d", copies.size()};
    }
    if (batches && pieces * kLeastBytes <= nbytes) {
      issue_batch(state, flat(copies, pieces));
      return {"batch", (pieces + kMostInOneCall - 1) / kMostInOneCall};
    }
    if (!fit || copies.size() > most) return {"", 0};
    by_calls(state, copies);
    return {"2d", copies.size()};
  }

 private:
  static constexpr std::size_t kMostInOneCall = 4096;  // of issue_batch

  void by_calls(StreamState& state, const std::vector<PitchedCopy>& copies) const {
    const CopyKind kind = to_host_ ? kDeviceToHost : kHostToDevice;
    py::gil_scoped_release unlocked;
    Current current(state.device);
    for (const auto& copy : copies) {
      auto* const to = reinterpret_cast<void*>(copy.dst);
      const auto* const from = reinterpret_cast<const void*>(copy.src);
      if (copy.height == 1) {
        ACCEL_ACL_CALL(memcpy_async, to, copy.width, from, copy.width, kind, state.handle);
      } else {
        ACCEL_ACL_CALL(memcpy_2d_async, to, copy.dst_pitch, from, copy.src_pitch, copy.width,
                       copy.height, kind, state.handle);
      }
    }
  }

  std::vector<FlatCopy> flat(const std::vector<PitchedCopy>& copies, std::size_t pieces) const {
    const Place device{Place::Kind::Device, index_}, host{Place::Kind::Pinned, -1};
    std::vector<FlatCopy> out;
    out.reserve(pieces);
    for (const auto& copy : copies) {
      for (std::size_t row = 0; row < copy.height; ++row) {
        out.push_back({copy.dst + row * copy.dst_pitch, copy.src + row * copy.src_pitch, copy.width,
                       to_host_ ? host : device, to_host_ ? device : host});
      }
    }
    return out;
  }

  const int index_;
  const bool to_host_;
  const PageCopies pages_;
};

// For tests: (dst, src, dst pitch, src pitch, width, height) of every call.
py::list listed(std::int64_t layers, const py::bytes& planes,
                const std::vector<std::uintptr_t>& src, const std::vector<std::uintptr_t>& dst,
                const std::vector<std::int64_t>& src_units,
                const std::vector<std::int64_t>& dst_units) {
  const PageCopies pages(layers, planes_of(std::string(planes)), src, dst);
  py::list out;
  for (const auto& c : pages.list(src_units.data(), dst_units.data(), src_units.size(), SIZE_MAX)) {
    out.append(py::make_tuple(c.dst, c.src, c.dst_pitch, c.src_pitch, c.width, c.height));
  }
  return out;
}

}  // namespace

void bind_kv(py::module_& module) {
  py::module_ kv = module.def_submodule("kv", "KV transfers with the host by ACL copies.");
  py::class_<Copies>(kv, "Copies")
      .def(py::init<int, bool, std::int64_t, const py::bytes&, const std::vector<std::uintptr_t>&,
                    const std::vector<std::uintptr_t>&>(),
           "device_index"_a, "to_host"_a, "layers"_a, "planes"_a, "src"_a, "dst"_a)
      .def("run", &Copies::run, "src_units"_a, "dst_units"_a, "count"_a, "most"_a, "nbytes"_a,
           "handle"_a,
           "Queue the copies of int64 lists at these addresses; ('', 0), with nothing queued, where "
           "that takes more than `most` pitched calls and no batch.");
  kv.def("page_copies", &listed, "layers"_a, "planes"_a, "src"_a, "dst"_a, "src_units"_a,
         "dst_units"_a, "The calls of a transfer, for tests.");
}

}  // namespace accel_ascend
