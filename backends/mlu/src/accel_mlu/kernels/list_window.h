// A stretch of an index list in NRAM; a list that travels with the launch is read where it is.
#ifndef ACCEL_MLU_LIST_WINDOW_H
#define ACCEL_MLU_LIST_WINDOW_H

#include "copy_launch.h"
#include "mlu.h"

namespace accel_mlu {

class ListWindow {
 public:
  static constexpr i64 kBytes = 8192;

  // `nram`: kBytes of it.
  __mlu_func__ void Init(u8* nram, const accel_mlu_copy_launch* launch) {
    nram_ = nram;
    launch_ = launch;
  }

  __mlu_func__ void Load(const accel_kv_list& list, i64 first, i64 bytes) {
    here_ = list.form >= ACCEL_KV_HERE32;
    if (here_) {
      first_ = static_cast<i64>(list.data) / (list.form == ACCEL_KV_HERE64 ? 8 : 4) + first;
      return;
    }
    const i64 size = list.form == ACCEL_KV_INT64 ? 8 : 4;
    __memcpy(nram_, At(list.data + static_cast<u64>(first * size)),
             static_cast<unsigned int>(bytes), GDRAM2NRAM);
  }

  __mlu_func__ i64 Value(i64 at, bool wide) const {
    if (here_) return wide ? launch_->wide[first_ + at] : launch_->narrow[first_ + at];
    if (wide) return scalar_load(reinterpret_cast<const i64*>(nram_) + at);
    return scalar_load(reinterpret_cast<const int*>(nram_) + at);
  }

 private:
  u8* nram_ = nullptr;
  const accel_mlu_copy_launch* launch_ = nullptr;
  i64 first_ = 0;
  bool here_ = false;
};

}  // namespace accel_mlu

#endif
