// Transfers between a cache on the device and one in page-locked memory, by the runtime's copies.
#pragma once

#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "../cache_memory.hpp"
#include "../page_copies.hpp"
#include "copy_batch.hpp"

namespace accel {

namespace detail {

class KvCopies {
 public:
  using Addresses = std::vector<std::uintptr_t>;

  KvCopies(int index, bool to_host, std::int64_t layers, const pybind11::bytes& planes,
           const Addresses& src, const Addresses& dst)
      : device_{MemoryPlace::Kind::Device, index},
        to_host_(to_host),
        pages_(layers, unpack_plan<accel_kv_plane>(std::string_view(planes)), src, dst) {}

  // The way taken ("2d", "batch" or ""), and how many calls it was.
  std::tuple<std::string, std::size_t> run(std::uintptr_t src, std::uintptr_t dst,
                                           std::size_t count, std::size_t most,
                                           std::size_t nbytes, std::uintptr_t handle) const {
    const std::size_t in_batch = runtime().most_in_batch();
    const std::size_t room = std::max(most, in_batch > 0 ? nbytes / kLeastBytes : 0);
    std::vector<PitchedCopy> copies;
    {
      pybind11::gil_scoped_release unlocked;
      copies = pages_.list(reinterpret_cast<const std::int64_t*>(src),
                           reinterpret_cast<const std::int64_t*>(dst), count, room);
    }
    if (copies.size() > room) return {"", 0};
    StreamState& state = StreamState::of(device_.device, reinterpret_cast<StreamHandle>(handle));
    std::size_t pieces = 0;
    bool pitched = false;
    for (const auto& copy : copies) {
      pieces += copy.height;
      pitched = pitched || copy.height > 1;
    }
    const bool fit = !pitched || runtime().copies_rows(to(), from());
    if (fit && (copies.size() == 1 || (in_batch == 0 && copies.size() <= most))) {
      by_calls(state, copies);
      return {"2d", copies.size()};
    }
    if (in_batch > 0 && pieces * kLeastBytes <= nbytes) {
      CopyBatch::issue(state, flat(copies, pieces));
      return {"batch", (pieces + in_batch - 1) / in_batch};
    }
    if (!fit || copies.size() > most) return {"", 0};
    by_calls(state, copies);
    return {"2d", copies.size()};
  }

 private:
  // A copy of fewer bytes than this costs more to describe than to pack on the device.
  static constexpr std::size_t kLeastBytes = 4096;

  MemoryPlace to() const { return to_host_ ? host_ : device_; }
  MemoryPlace from() const { return to_host_ ? device_ : host_; }

  void by_calls(const StreamState& state, const std::vector<PitchedCopy>& copies) const {
    pybind11::gil_scoped_release unlocked;
    OnDevice current(state.device);
    for (const auto& copy : copies) {
      if (copy.height == 1) {
        runtime().copy({copy.dst, copy.src, copy.width, to(), from()}, state.handle);
      } else {
        runtime().copy_rows(copy, to(), from(), state.handle);
      }
    }
  }

  std::vector<FlatCopy> flat(const std::vector<PitchedCopy>& copies, std::size_t pieces) const {
    std::vector<FlatCopy> out;
    out.reserve(pieces);
    for (const auto& copy : copies) {
      for (std::size_t row = 0; row < copy.height; ++row) {
        out.push_back({copy.dst + row * copy.dst_pitch, copy.src + row * copy.src_pitch,
                       copy.width, to(), from()});
      }
    }
    return out;
  }

  const MemoryPlace device_;
  const MemoryPlace host_{MemoryPlace::Kind::Pinned, -1};
  const bool to_host_;
  const PageCopies pages_;
};

// For tests: (dst, src, dst pitch, src pitch, width, height) of every call.
inline pybind11::list list_page_copies(std::int64_t layers, const pybind11::bytes& planes,
                                       const std::vector<std::uintptr_t>& src,
                                       const std::vector<std::uintptr_t>& dst,
                                       const std::vector<std::int64_t>& src_units,
                                       const std::vector<std::int64_t>& dst_units) {
  const PageCopies pages(layers, unpack_plan<accel_kv_plane>(std::string_view(planes)), src, dst);
  pybind11::list out;
  for (const auto& c : pages.list(src_units.data(), dst_units.data(), src_units.size(), SIZE_MAX)) {
    out.append(
        pybind11::make_tuple(c.dst, c.src, c.dst_pitch, c.src_pitch, c.width, c.height));
  }
  return out;
}

}  // namespace detail

inline void bind_kv(pybind11::module_& module) {
  namespace py = pybind11;
  using detail::KvCopies;
  using py::literals::operator""_a;
  py::module_ kv =
      module.def_submodule("kv", "KV transfers with the host by the runtime's copies.");
  py::class_<KvCopies>(kv, "Copies", py::module_local())
      .def(py::init<int, bool, std::int64_t, const py::bytes&, const KvCopies::Addresses&,
                    const KvCopies::Addresses&>(),
           "device_index"_a, "to_host"_a, "layers"_a, "planes"_a, "src"_a, "dst"_a)
      .def("run", &KvCopies::run, "src_units"_a, "dst_units"_a, "count"_a, "most"_a, "nbytes"_a,
           "handle"_a,
           "Queue the copies of int64 lists at these addresses; ('', 0), with nothing queued, "
           "where that takes more than `most` pitched calls and no batch.");
  kv.def("page_copies", &detail::list_page_copies, "layers"_a, "planes"_a, "src"_a, "dst"_a,
         "src_units"_a, "dst_units"_a, "The calls of a transfer, for tests.");
}

}  // namespace accel
