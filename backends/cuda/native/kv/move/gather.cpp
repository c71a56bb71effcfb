#include "gather.hpp"

#include <accel/gather_slots.hpp>
#include <algorithm>

#include "calls.hpp"
#include "kernels/kv_gather_args.h"
#include "runtime/stream.hpp"

namespace accel_cuda::kv {
namespace {

namespace py = pybind11;
using accel::fail;
using accel::TensorView;

constexpr CallNames kNames{"src",
                           "dst",
                           "block_table",
                           "seq_lens",
                           ACCEL_FAULT_ARG_TABLE,
                           ACCEL_FAULT_ARG_LENGTHS,
                           ACCEL_FAULT_BLOCK};

accel_index_array array_of(const TensorView& view, int axis) {
  accel_index_array array = {};
  array.data = view.data;
  array.stride = view.strides[axis];
  array.wide = view.is_int64 ? 1 : 0;
  return array;
}

// Whatever is on the host goes to the device first: tables are of one place.
py::object on_device(py::handle tensor, const TensorView& view, const Device& device) {
  if (!view.is_cpu) return py::reinterpret_borrow<py::object>(tensor);
  return tensor.attr("to")(py::module_::import("torch").attr("device")("cuda", device.index));
}

void check_batch(const TensorView& view, const char* argument, std::int64_t batch) {
  if (view.shape[0] == batch) return;
  fail("ShapeError", argument, std::to_string(batch) + " sequences", std::to_string(view.shape[0]));
}

}  // namespace

void run_gather(Pair& pair, py::handle src, py::handle dst, py::handle block_table,
                py::handle seq_lens, py::handle seq_starts, std::int64_t block_size,
                std::int64_t blocks, py::handle stream, py::handle scratch) {
  Kernels& kernels = pair.kernels;
  const StreamHandle target = resolve_stream(stream, kernels.device);
  TensorView table, lens, starts;
  read_index_tensor(block_table.ptr(), "block_table", 2, kernels.device, &table);
  read_index_tensor(seq_lens.ptr(), "seq_lens", 1, kernels.device, &lens);
  const bool started = !seq_starts.is_none();
  if (started) read_index_tensor(seq_starts.ptr(), "seq_starts", 1, kernels.device, &starts);
  if (table.is_cpu && lens.is_cpu && (!started || starts.is_cpu)) {
    const std::vector<std::int64_t> slots =
        accel::gather_slots(block_table.ptr(), seq_lens.ptr(), seq_starts.ptr(), block_size, blocks,
                            pair.dst_units);
    ListArgument from, to;
    from.list.size = to.list.size = static_cast<std::int64_t>(slots.size());
    from.list.data = slots.data();
    run_transfer(pair, src.ptr(), dst.ptr(), from, to, target, kNames);
    return;
  }
  const std::int64_t batch = table.shape[0];
  check_batch(lens, "seq_lens", batch);
  if (started) check_batch(starts, "seq_starts", batch);
  if (table.is_cpu != lens.is_cpu || (started && starts.is_cpu != table.is_cpu)) {
    const py::object a = on_device(block_table, table, kernels.device);
    const py::object b = on_device(seq_lens, lens, kernels.device);
    const py::object c = started ? on_device(seq_starts, starts, kernels.device) : py::none();
    run_gather(pair, src, dst, a, b, c, block_size, blocks, stream, scratch);
    return;
  }
  check_caches(pair, src.ptr(), dst.ptr(), kNames);
  const std::int64_t most = std::min(batch * table.shape[1] * block_size, pair.dst_units);
  if (batch == 0 || most == 0) {
    // Lengths that are not 0 would be wrong; nothing can be written either way.
    return;
  }
  const py::object slots = scratch(most + 1);
  TensorView made;
  accel::read_tensor(slots.ptr(), "scratch", &made);
  accel_gather_args args = {};
  args.table = array_of(table, 0);
  args.table_column = table.strides[1];
  args.lens = array_of(lens, 0);
  if (started) args.starts = array_of(starts, 0);
  args.batch = batch;
  args.columns = table.shape[1];
  args.block_size = block_size;
  args.blocks = blocks;
  args.capacity = most;
  args.slots = made.data + 8;
  args.count = made.data;
  Runtime& runtime = kernels.runtime;
  args.fault = runtime.state(target).fault_address();
  {
    const Submission submission(runtime);
    launch(kernels.device, kernels.gather_slots, {static_cast<unsigned>(batch)},
           ACCEL_GATHER_THREADS, 0, target, &args);
  }
  CopyCall call;
  call.form = &pair.form(1);
  call.src.where = DeviceList::Where::Device;
  call.src.data = args.slots;
  call.units = most;
  call.src_bound = pair.src_units;
  call.dst_bound = pair.dst_units;
  call.src_argument = kNames.src_argument;
  call.dst_argument = kNames.dst_argument;
  call.fault_kind = kNames.fault_kind;
  call.count = args.count;
  if (pair.dst_on_host || pair.src_on_host) call.most_blocks = kernels.host_blocks;
  launch_copy(kernels, call, target);
  keep_caches(pair, src.ptr(), dst.ptr(), target);
  for (const py::handle tensor : {block_table, seq_lens, seq_starts, py::handle(slots)}) {
    if (!tensor.is_none()) record_use(runtime, target, tensor.ptr());
  }
}

}  // namespace accel_cuda::kv
