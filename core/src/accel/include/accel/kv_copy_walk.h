/* The walk of one core over a KV copy: which units are its own, and their runs. C++, shared by the
 * vendors' kernels; define ACCEL_KV_FN before, as for accel/kv_address.h.
 *
 * Units (tokens or blocks) of all bases (layer and plane) are divided among the cores in stretches
 * of units. Where runs of different units may lie in the same granule of the destination, which two
 * cores must not write, each core goes through all units and writes those of the groups that are
 * its own.
 *
 * A Core is the vendor's part:
 *   Index(), Count()                      of cores
 *   src, dst                              the index lists, IndexList<Window>
 *   Plane(index)                          an accel_kv_plane
 *   Bases(base, &from, &to)               addresses of a base pair
 *   Fault(kind, argument, index, limit, position)
 *   copier                                Run, Rows and Ship of accel/kv_run_copier.h
 */
#ifndef ACCEL_KV_COPY_WALK_H
#define ACCEL_KV_COPY_WALK_H

#include "kv_copy_args.h"

namespace accel_kv {

typedef unsigned long long Address;

template <class Core>
ACCEL_KV_FN void CopyUnit(Core& core, const accel_kv_plane& plane, Address src, Address dst) {
  const Address bytes = static_cast<Address>(plane.run_bytes);
  if (plane.ndim == 0) {
    core.copier.Run(src, dst, bytes);
    return;
  }
  const accel_i64 inner = plane.ndim - 1, rows = plane.size[inner];
  for (accel_i64 run = 0; run < plane.runs; run += rows) {
    accel_i64 from, to;
    accel_kv_run_offsets(&plane, run, &from, &to);
    core.copier.Rows(src + static_cast<Address>(from), dst + static_cast<Address>(to), rows, bytes,
                     plane.src_stride[inner], plane.dst_stride[inner]);
  }
}

/* Units begin .. end - 1 of one base. */
template <class Core>
ACCEL_KV_FN void CopyStretch(Core& core, const accel_kv_copy_args& args, accel_i64 base,
                             accel_i64 begin, accel_i64 end) {
  const accel_kv_plane& plane = core.Plane(base % args.planes);
  Address src, dst;
  core.Bases(base, &src, &dst);
  for (accel_i64 i = begin; i < end; ++i) {
    const accel_i64 from = core.src.Get(i), to = core.dst.Get(i);
    if (from < 0 || to < 0) continue;
    if (from >= core.src.Bound()) {
      core.Fault(args.fault_kind, core.src.Argument(), from, core.src.Bound(), args.first + i);
      continue;
    }
    if (to >= core.dst.Bound()) {
      core.Fault(args.fault_kind, core.dst.Argument(), to, core.dst.Bound(), args.first + i);
      continue;
    }
    if (args.group > 0 && to / args.group % core.Count() != core.Index()) continue;
    CopyUnit(core, plane, src + static_cast<Address>(accel_kv_unit_offset(&plane.src, from)),
             dst + static_cast<Address>(accel_kv_unit_offset(&plane.dst, to)));
  }
}

/* Everything that is this core's. */
template <class Core>
ACCEL_KV_FN void CopyUnits(Core& core, const accel_kv_copy_args& args) {
  const accel_i64 tiles = (args.units + args.task_units - 1) / args.task_units;
  const accel_i64 tasks = tiles * args.bases;
  const bool all = args.group > 0;
  const accel_i64 first = all ? 0 : tasks * core.Index() / core.Count();
  const accel_i64 end = all ? tasks : tasks * (core.Index() + 1) / core.Count();
  for (accel_i64 task = first; task < end; ++task) {
    const accel_i64 begin = task / args.bases * args.task_units;
    const accel_i64 next = begin + args.task_units;
    CopyStretch(core, args, task % args.bases, begin, next < args.units ? next : args.units);
  }
  core.copier.Ship();
}

}  // namespace accel_kv

#endif /* ACCEL_KV_COPY_WALK_H */
