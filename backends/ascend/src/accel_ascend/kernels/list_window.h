// A stretch of an index list in the unified buffer.
#ifndef ACCEL_ASCEND_LIST_WINDOW_H
#define ACCEL_ASCEND_LIST_WINDOW_H

#include "ascend.h"

namespace accel_ascend {

class ListWindow {
 public:
  static constexpr i64 kBytes = 8192;

  __aicore__ inline void Init(AscendC::TPipe* pipe, u64 args) {
    args_ = args;
    pipe->InitBuffer(buffer_, kBytes);
  }

  __aicore__ inline void Load(const accel_kv_list& list, i64 first, i64 bytes) {
    const bool wide = list.form == ACCEL_KV_INT64 || list.form == ACCEL_KV_HERE64;
    const u64 begin = list.form >= ACCEL_KV_HERE32 ? args_ + list.data : list.data;
    const u32 span = static_cast<u32>(bytes);
    Meet<AscendC::HardEvent::S_MTE2>();  // what was read from the window before
    AscendC::DataCopyPad(buffer_.template Get<uint8_t>(),
                         Memory(begin + static_cast<u64>(first * (wide ? 8 : 4)), span),
                         AscendC::DataCopyExtParams(1, span, 0, 0, 0),
                         AscendC::DataCopyPadExtParams<uint8_t>(false, 0, 0, 0));
    Meet<AscendC::HardEvent::MTE2_S>();
  }

  __aicore__ inline i64 Value(i64 at, bool wide) {
    const u32 place = static_cast<u32>(at);
    if (wide) return buffer_.template Get<int64_t>().GetValue(place);
    return buffer_.template Get<int32_t>().GetValue(place);
  }

 private:
  AscendC::TBuf<AscendC::TPosition::VECIN> buffer_;
  u64 args_ = 0;
};

}  // namespace accel_ascend

#endif
