// Strided copies of KV caches: every layout, one launch for all layers and planes.
//
// Units (tokens or blocks) of all bases (layer and plane) are divided among the cores in stretches
// of units. Where runs of different units may lie in the same aligned 32 bytes of the destination,
// which two cores must not write, each core goes through all units and writes those of the groups
// that are its own.
#include "index_list.h"
#include "report.h"
#include "run_copier.h"

namespace accel_ascend {

class KvCopy {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, u64 args) {
    LoadStruct(args, &args_);
    planes_ = args + static_cast<u64>(args_.planes_at);
    bases_ = args + static_cast<u64>(args_.bases_at);
    if (args_.count != 0) {
      const i64 count = Scalar<int64_t>(args_.count);
      args_.units = Min(args_.units, count < 0 ? 0 : count);
    }
    src_.Init(pipe, args_.src, args, args_.units, args_.first);
    dst_.Init(pipe, args_.dst, args, args_.units, args_.first);
    report_.Init(pipe, args_.fault);
    copier_.Init(pipe);
  }

  __aicore__ inline void Process() {
    const i64 tiles = (args_.units + args_.task_units - 1) / args_.task_units;
    const i64 tasks = tiles * args_.bases;
    const i64 core = AscendC::GetBlockIdx(), cores = AscendC::GetBlockNum();
    const bool all = args_.group > 0;
    const i64 first = all ? 0 : tasks * core / cores;
    const i64 end = all ? tasks : tasks * (core + 1) / cores;
    for (i64 task = first; task < end; ++task) {
      const i64 begin = task / args_.bases * args_.task_units;
      Stretch(task % args_.bases, begin, Min(begin + args_.task_units, args_.units));
    }
    copier_.Ship();
  }

 private:
  // One of two that are held: K and V are read once.
  __aicore__ inline const accel_kv_plane& Plane(i64 index) {
    const i64 place = index % kHeld;
    if (held_[place] != index) {
      LoadStruct(planes_ + static_cast<u64>(index) * sizeof(accel_kv_plane), &plane_[place]);
      held_[place] = index;
    }
    return plane_[place];
  }

  __aicore__ inline void Stretch(i64 base, i64 begin, i64 end) {
    const i64 core = AscendC::GetBlockIdx(), cores = AscendC::GetBlockNum();
    const accel_kv_plane& plane = Plane(base % args_.planes);
    const u64 pair = bases_ + static_cast<u64>(base) * 2 * sizeof(u64);
    const u64 src = Scalar<u64>(pair), dst = Scalar<u64>(pair + sizeof(u64));
    for (i64 i = begin; i < end; ++i) {
      const i64 from = src_.Get(i), to = dst_.Get(i);
      if (from < 0 || to < 0) continue;
      if (from >= src_.Bound() || to >= dst_.Bound()) {
        const IndexList& list = from >= src_.Bound() ? src_ : dst_;
        report_.Fault(args_.fault_kind, list.Argument(), from >= src_.Bound() ? from : to,
                      list.Bound(), args_.first + i);
        continue;
      }
      if (args_.group > 0 && to / args_.group % cores != core) continue;
      Unit(plane, src + static_cast<u64>(accel_kv_unit_offset(&plane.src, from)),
           dst + static_cast<u64>(accel_kv_unit_offset(&plane.dst, to)));
    }
  }

  __aicore__ inline void Unit(const accel_kv_plane& plane, u64 src, u64 dst) {
    if (plane.ndim == 0) {
      copier_.Run(src, dst, static_cast<u64>(plane.run_bytes));
      return;
    }
    const i64 inner = plane.ndim - 1, rows = plane.size[inner];
    for (i64 run = 0; run < plane.runs; run += rows) {
      i64 from, to;
      accel_kv_run_offsets(&plane, run, &from, &to);
      copier_.Rows(src + static_cast<u64>(from), dst + static_cast<u64>(to), rows,
                   static_cast<u64>(plane.run_bytes), plane.src_stride[inner],
                   plane.dst_stride[inner]);
    }
  }

  static constexpr i64 kHeld = 2;
  accel_ascend_copy_args args_;
  accel_kv_plane plane_[kHeld];
  i64 held_[kHeld] = {-1, -1};
  u64 planes_ = 0, bases_ = 0;
  IndexList src_, dst_;
  Report report_;
  RunCopier copier_;
};

}  // namespace accel_ascend

extern "C" __global__ __aicore__ void accel_kv_copy(GM_ADDR args) {
  AscendC::TPipe pipe;
  accel_ascend::KvCopy copy;
  copy.Init(&pipe, reinterpret_cast<accel_ascend::u64>(args));
  copy.Process();
}
