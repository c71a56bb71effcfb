// Strided copies of KV caches: every layout, one launch for all layers and planes. The walk over
// units and runs is accel/kv_copy_walk.h's; here is what it reads and writes them with.
#include "ascend.h"

#include <accel/kv_copy_walk.h>
#include <accel/kv_index_list.h>
#include <accel/kv_run_copier.h>

#include "list_window.h"
#include "report.h"
#include "unified_tile.h"

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
    InitList(src, args_.src, pipe, args);
    InitList(dst, args_.dst, pipe, args);
    report_.Init(pipe, args_.fault);
    copier.tile.Init(pipe);
  }

  __aicore__ inline void Process() { accel_kv::CopyUnits(*this, args_); }

  // What the walk asks for.

  __aicore__ inline i64 Index() const { return AscendC::GetBlockIdx(); }
  __aicore__ inline i64 Count() const { return AscendC::GetBlockNum(); }

  // One of two that are held: K and V are read once.
  __aicore__ inline const accel_kv_plane& Plane(i64 index) {
    const i64 place = index % kHeld;
    if (held_[place] != index) {
      LoadStruct(planes_ + static_cast<u64>(index) * sizeof(accel_kv_plane), &plane_[place]);
      held_[place] = index;
    }
    return plane_[place];
  }

  __aicore__ inline void Bases(i64 base, u64* from, u64* to) const {
    const u64 pair = bases_ + static_cast<u64>(base) * 2 * sizeof(u64);
    *from = Scalar<u64>(pair);
    *to = Scalar<u64>(pair + sizeof(u64));
  }

  __aicore__ inline void Fault(i64 kind, i64 argument, i64 index, i64 limit, i64 position) {
    report_.Fault(kind, argument, index, limit, position);
  }

  accel_kv::IndexList<ListWindow> src, dst;
  accel_kv::RunCopier<UnifiedTile> copier;

 private:
  __aicore__ inline void InitList(accel_kv::IndexList<ListWindow>& list,
                                  const accel_kv_list& given, AscendC::TPipe* pipe, u64 args) {
    list.Init(given, args_.units, args_.first);
    if (given.form != ACCEL_KV_COUNTED) list.window.Init(pipe, args);
  }

  static constexpr i64 kHeld = 2;
  accel_kv_copy_args args_;
  accel_kv_plane plane_[kHeld];
  i64 held_[kHeld] = {-1, -1};
  u64 planes_ = 0, bases_ = 0;
  Report report_;
};

}  // namespace accel_ascend

extern "C" __global__ __aicore__ void accel_kv_copy(GM_ADDR args) {
  AscendC::TPipe pipe;
  accel_ascend::KvCopy copy;
  copy.Init(&pipe, reinterpret_cast<accel_ascend::u64>(args));
  copy.Process();
}
