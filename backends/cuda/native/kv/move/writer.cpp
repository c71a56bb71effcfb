#include "writer.hpp"

#include <accel/kv_overlap.hpp>
#include <accel/tensor_bounds.hpp>
#include <algorithm>
#include <stdexcept>

#include "calls.hpp"
#include "list_arguments.hpp"
#include "runtime/stream.hpp"

namespace accel_cuda::kv {
namespace {

namespace py = pybind11;
using accel::fail;
using accel::TensorView;

// More combinations of strides than an engine has; a caller that has more plans anew.
constexpr std::size_t kMostPlans = 64;

bool fits(const WritePlan::Source& source, const TensorView& view, std::int64_t tokens,
          int device_index) {
  if (source.dtype != view.dtype || view.is_cpu || view.device_index != device_index) return false;
  return view.shape[0] == tokens &&
         static_cast<std::size_t>(view.ndim) == source.strides.size() &&
         std::equal(source.extents.begin(), source.extents.end(), view.shape + 1) &&
         std::equal(source.strides.begin(), source.strides.end(), view.strides);
}

}  // namespace

Writer::Writer(Kernels& kernels, const std::vector<std::int64_t>& heads, std::int64_t slots,
               std::vector<std::uintptr_t> pointers, std::vector<std::int64_t> spans,
               std::vector<std::uintptr_t> tensors,
               std::vector<std::vector<std::size_t>> tensors_of_layer)
    : kernels_(kernels),
      planes_(heads.size()),
      heads_(heads),
      slots_(slots),
      pointers_(std::move(pointers)),
      spans_(std::move(spans)),
      tensors_of_layer_(std::move(tensors_of_layer)) {
  if (planes_ == 0 || spans_.size() != planes_ ||
      pointers_.size() != planes_ * tensors_of_layer_.size()) {
    throw std::invalid_argument("an address for every layer and plane, a span for every plane");
  }
  for (const auto& which : tensors_of_layer_) {
    for (const std::size_t i : which) {
      if (i >= tensors.size()) throw std::invalid_argument("tensors_of_layer: no such tensor");
    }
  }
  memory_.tensors = std::move(tensors);
}

WritePlan* Writer::find(std::int64_t layer, const TensorView* views, int count) {
  if (layer < 0 || layer >= static_cast<std::int64_t>(tensors_of_layer_.size())) return nullptr;
  if (views[0].ndim < 1 || views[count - 1].ndim < 1) return nullptr;
  const std::int64_t tokens = views[0].shape[0];
  const int device = kernels_.device.index;
  for (auto plan = plans_.rbegin(); plan != plans_.rend(); ++plan) {
    const auto& sources = (*plan)->sources;
    if (static_cast<int>(sources.size()) != count) continue;
    if (fits(sources[0], views[0], tokens, device) &&
        (count == 1 || fits(sources[1], views[1], tokens, device))) {
      return plan->get();
    }
  }
  return nullptr;
}

void Writer::add(py::handle key, py::handle value, const py::bytes& packed,
                 const std::vector<std::pair<std::size_t, std::int64_t>>& targets) {
  auto plan = std::make_unique<WritePlan>();
  plan->planes = accel::unpack_plan<accel_kv_plane>(std::string_view(packed));
  plan->targets = targets;
  for (const auto& [tensor, name] : {std::pair(key, "key"), std::pair(value, "value")}) {
    if (tensor.is_none()) continue;
    TensorView view;
    accel::read_tensor(tensor.ptr(), name, &view);
    plan->sources.push_back({view.dtype,
                             {view.shape + 1, view.shape + view.ndim},
                             {view.strides, view.strides + view.ndim}});
  }
  if (plan->sources.size() != plan->planes.size() || targets.size() != plan->planes.size()) {
    throw std::invalid_argument("a plane and a target for every tensor");
  }
  for (const auto& target : targets) {
    if (target.first >= planes_) throw std::invalid_argument("targets: no such plane");
  }
  if (plans_.size() >= kMostPlans) plans_.erase(plans_.begin());
  plans_.push_back(std::move(plan));
}

const CopyForm& Writer::form(WritePlan& plan, const std::vector<BasePair>& bases,
                             CopyForm* scratch) {
  Address all = 16;
  for (const BasePair& base : bases) all |= base.src | base.dst;
  int aligned = 0;
  while (aligned < 4 && (all >> aligned & 1) == 0) ++aligned;
  std::unique_ptr<CopyForm>& known = plan.forms[aligned];
  if (known == nullptr) {
    // Addresses that say no more than the alignment: not how far both are off in the same way.
    const Address stand_in = Address{1} << aligned;
    std::vector<CopyKind> kinds;
    for (std::size_t i = 0; i < plan.planes.size(); ++i) {
      kinds.push_back(copy_kind(plan.planes[i], {{stand_in, 1024}}));
    }
    known = std::make_unique<CopyForm>();
    known->launches = plan_launches(kinds);
  }
  scratch->launches = known->launches;
  for (CopyLaunch& launch : scratch->launches) {
    for (std::size_t b = 0; b < launch.order.size(); ++b) {
      const BasePair& base = bases[launch.order[b]];
      launch.args.words[2 * b] = base.src;
      launch.args.words[2 * b + 1] = base.dst;
    }
  }
  return *scratch;
}

bool Writer::may_share(std::int64_t layer, const TensorView* views, int count) const {
  // The itemsize is at most 16; some bytes too many only cost the exact check.
  const std::uintptr_t* const bases = &pointers_[static_cast<std::size_t>(layer) * planes_];
  return accel::any_meets(views, count, 16, bases, spans_);
}

bool Writer::write(py::handle cache, std::int64_t layer, py::handle key, py::handle value,
                   py::handle slot_mapping, py::handle stream) {
  TensorView views[2];
  const int count = value.is_none() ? 1 : 2;
  accel::read_tensor(key.ptr(), "key", &views[0]);
  if (count == 2) accel::read_tensor(value.ptr(), "value", &views[1]);
  WritePlan* const plan = find(layer, views, count);
  if (plan == nullptr) return false;
  TensorView slots_view;
  const ListArgument slots =
      read_list(slot_mapping.ptr(), "slot_mapping", kernels_.device, &slots_view);
  const std::int64_t tokens = views[0].shape[0];
  if (slots.list.size > tokens) {
    fail("ShapeError", "slot_mapping", "at most " + std::to_string(tokens) + " indices as key has",
         std::to_string(slots.list.size));
  }
  const StreamHandle target = resolve_stream(stream, kernels_.device);
  memory_.check(cache.ptr(), "cache", tensors_of_layer_[static_cast<std::size_t>(layer)]);

  std::vector<BasePair> bases;
  for (int i = 0; i < count; ++i) {
    const auto& [plane, offset] = plan->targets[static_cast<std::size_t>(i)];
    bases.push_back({views[i].data,
                     pointers_[static_cast<std::size_t>(layer) * planes_ + plane] +
                         static_cast<std::uintptr_t>(offset)});
  }
  CopyCall call;
  call.src_bound = tokens;
  call.dst_bound = slots_;
  call.src_argument = ACCEL_FAULT_ARG_NONE;
  call.dst_argument = ACCEL_FAULT_ARG_SLOTS;
  call.fault_kind = ACCEL_FAULT_SLOT;
  call.units = slots.list.size;
  thread_local accel::SlotPairs pairs;
  if (slots.tensor == nullptr) {
    accel::SlotList rows;
    rows.size = slots.list.size;
    const auto fault = accel::check_slots(rows, slots.list, tokens, slots_, false, &pairs);
    if (fault) accel::raise_fault(fault, "key", "slot_mapping");
    if (pairs.src.empty()) return true;
    if (may_share(layer, views, count)) {
      std::vector<std::uintptr_t> src, dst;
      for (const BasePair& base : bases) {
        src.push_back(base.src);
        dst.push_back(base.dst);
      }
      std::uintptr_t address = 0;
      if (accel::reads_what_it_writes(1, plan->planes, src, dst, pairs, &address)) {
        refuse_shared_bytes(address, "slot_mapping");
      }
    }
    call.src.where = call.dst.where = DeviceList::Where::Host;
    call.src.values = pairs.src.data();
    call.dst.values = pairs.dst.data();
    call.units = static_cast<std::int64_t>(pairs.src.size());
  } else {
    if (call.units == 0) return true;
    call.dst = slots.on_device();
  }
  CopyForm scratch;
  call.form = &form(*plan, bases, &scratch);
  launch_copy(kernels_, call, target);

  Runtime& runtime = kernels_.runtime;
  streams_.tell(runtime, target, cache.ptr());
  record_use(runtime, target, key.ptr());
  if (count == 2) record_use(runtime, target, value.ptr());
  if (slots.tensor != nullptr) record_use(runtime, target, slots.tensor);
  return true;
}

}  // namespace accel_cuda::kv
