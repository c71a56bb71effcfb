// What goes before or beside a strided copy: slots from block tables, and numbers from arguments.
//
// kv_gather_slots: one block for every sequence. It adds up the lengths before its own, so that no
// launch has to go before, then lists the slots of its tokens for kv_copy_rows. What is wrong with
// lengths, starts or blocks is reported, and leaves its tokens out.
// kv_upload: the bytes of its arguments to an address.
#include "device.h"

#include "fault.h"
#include "kv_gather_args.h"

namespace {

ACCEL_DEVICE accel_i64 element(const accel_index_array& array, accel_i64 i) {
  if (array.data == 0) return 0;
  return array.wide ? accel_pointer<const accel_i64>(array.data)[i * array.stride]
                    : accel_pointer<const accel_i32>(array.data)[i * array.stride];
}

// The tokens of a sequence that count: those of a wrong one do not.
ACCEL_DEVICE accel_i64 usable_length(const accel_gather_args& args, accel_i64 i, bool report) {
  const accel_i64 start = element(args.starts, i), length = element(args.lens, i);
  const accel_i64 most = args.columns * args.block_size;
  if (start >= 0 && length >= 0 && start <= most && length <= most - start) return length;
  if (report) {
    const accel_i64 given = start < 0 ? start : length < 0 ? length : start + length;
    accel_report_fault(args.fault, ACCEL_FAULT_LENGTH, ACCEL_FAULT_ARG_LENGTHS, given, most + 1, i);
  }
  return 0;
}

}  // namespace

ACCEL_KERNEL_BOUNDS(ACCEL_GATHER_THREADS, 1, kv_gather_slots, accel_gather_args, args) {
  ACCEL_SHARED accel_u64 sums[ACCEL_GATHER_THREADS];
  const accel_u32 thread = accel_thread();
  const accel_i64 sequence = accel_block_x();
  accel_u64 before = 0;
  for (accel_i64 i = thread; i < sequence; i += ACCEL_GATHER_THREADS) {
    before += static_cast<accel_u64>(usable_length(args, i, false));
  }
  sums[thread] = before;
  accel_sync_threads();
  for (accel_u32 apart = ACCEL_GATHER_THREADS / 2; apart > 0; apart /= 2) {
    if (thread < apart) sums[thread] += sums[thread + apart];
    accel_sync_threads();
  }
  const accel_i64 first = static_cast<accel_i64>(sums[0]);
  const accel_i64 length = usable_length(args, sequence, thread == 0);
  const accel_i64 start = element(args.starts, sequence);
  if (sequence >= args.batch) return;  // a launch that only loads the kernel
  if (sequence + 1 == args.batch && thread == 0) {
    const accel_i64 all = first + length;
    *accel_pointer<accel_i64>(args.count) = accel_min(all, args.capacity);
    if (all > args.capacity) {
      accel_report_fault(args.fault, ACCEL_FAULT_LENGTH, ACCEL_FAULT_ARG_LENGTHS, all,
                         args.capacity + 1, args.batch);
    }
  }
  accel_i64* const slots = accel_pointer<accel_i64>(args.slots);
  for (accel_i64 j = thread; j < length && first + j < args.capacity; j += ACCEL_GATHER_THREADS) {
    const accel_i64 token = start + j, entry = token / args.block_size;
    accel_index_array row = args.table;
    row.stride = 1;
    const accel_i64 block =
        element(row, sequence * args.table.stride + entry * args.table_column);
    accel_i64 slot = -1;
    if (block >= args.blocks) {
      accel_report_fault(args.fault, ACCEL_FAULT_BLOCK, ACCEL_FAULT_ARG_TABLE, block, args.blocks,
                         sequence * args.columns + entry);
    } else if (block >= 0) {
      slot = block * args.block_size + token % args.block_size;
    }
    slots[first + j] = slot;
  }
}

ACCEL_KERNEL_BOUNDS(ACCEL_UPLOAD_THREADS, 1, kv_upload, accel_upload_args, args) {
  const accel_u32 whole = args.bytes / 4;
  for (accel_u32 i = accel_thread(); i < whole; i += ACCEL_UPLOAD_THREADS) {
    accel_pointer<accel_u32>(args.to)[i] = args.words[i];
  }
}
