// Saying that something is wrong from within a kernel: see accel/kv_fault_record.h.
#ifndef ACCEL_ASCEND_REPORT_H
#define ACCEL_ASCEND_REPORT_H

#include "ascend.h"

namespace accel_ascend {

class Report {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, u64 records) {
    if (records == 0) return;
    record_ = records + static_cast<u64>(AscendC::GetBlockIdx()) * ACCEL_KV_FAULT_BYTES;
    pipe->InitBuffer(buffer_, ACCEL_KV_FAULT_BYTES);
  }

  // The first of a core stays until the host has read it.
  __aicore__ inline void Fault(i64 kind, i64 argument, i64 index, i64 limit, i64 position) {
    if (record_ == 0) return;
    const u64 record = record_;
    record_ = 0;
    if (Scalar<int64_t>(record) != 0) return;
    const AscendC::LocalTensor<int64_t> words = buffer_.Get<int64_t>();
    words.SetValue(0, 1);
    words.SetValue(1, kind);
    words.SetValue(2, argument);
    words.SetValue(3, index);
    words.SetValue(4, limit);
    words.SetValue(5, position);
    words.SetValue(6, 0);
    words.SetValue(7, 0);
    Meet<AscendC::HardEvent::S_MTE3>();
    AscendC::DataCopyPad(
        Memory(record, ACCEL_KV_FAULT_BYTES), buffer_.Get<uint8_t>(),
        AscendC::DataCopyExtParams(1, ACCEL_KV_FAULT_BYTES, 0, 0, 0));
  }

 private:
  AscendC::TBuf<AscendC::TPosition::VECOUT> buffer_;
  u64 record_ = 0;
};

}  // namespace accel_ascend

#endif
