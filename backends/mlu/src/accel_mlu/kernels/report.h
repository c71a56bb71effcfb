// Saying that something is wrong from within a kernel: see accel/kv_fault_record.h.
#ifndef ACCEL_MLU_REPORT_H
#define ACCEL_MLU_REPORT_H

#include "mlu.h"

namespace accel_mlu {

class Report {
 public:
  static constexpr unsigned int kBytes = 128;

  // `nram`: kBytes of it, aligned to 128. `records`: of the host's; 0: none.
  __mlu_func__ void Init(u8* nram, u64 records) {
    words_ = reinterpret_cast<i64*>(nram);
    record_ = records == 0 ? 0 : records + static_cast<u64>(taskId) * ACCEL_KV_FAULT_BYTES;
  }

  // The first of a task stays until the host has read it.
  __mlu_func__ void Fault(i64 kind, i64 argument, i64 index, i64 limit, i64 position) {
    if (record_ == 0) return;
    void* const record = At(record_);
    record_ = 0;
    __memcpy(words_, record, sizeof(i64), GDRAM2NRAM);
    if (scalar_load(words_) != 0) return;
    const i64 told[] = {1, kind, argument, index, limit, position};
    __bang_write_value(reinterpret_cast<int*>(words_), kBytes / sizeof(int), 0);
    __sync();
    for (unsigned int i = 0; i < sizeof told / sizeof told[0]; ++i) {
      scalar_store(words_ + i, told[i]);
    }
    __sync();
    __memcpy(record, words_, ACCEL_KV_FAULT_BYTES, NRAM2GDRAM);
  }

 private:
  i64* words_ = nullptr;
  u64 record_ = 0;
};

}  // namespace accel_mlu

#endif
