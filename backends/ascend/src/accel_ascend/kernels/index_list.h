// Lists of indices on the device, read through a window in the unified buffer.
#ifndef ACCEL_ASCEND_INDEX_LIST_H
#define ACCEL_ASCEND_INDEX_LIST_H

#include "ascend.h"
#include "kv_copy_args.h"

namespace accel_ascend {

constexpr u32 kWindowBytes = 8192;

class IndexList {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, const accel_ascend_list& list, u64 args,
                              i64 size, i64 first) {
    list_ = list;
    first_ = first;
    size_ = size;
    if (list_.form == ACCEL_ASCEND_COUNTED) return;
    if (list_.form >= ACCEL_ASCEND_HERE32) list_.data += args;
    bytes_ = list_.form == ACCEL_ASCEND_INT64 || list_.form == ACCEL_ASCEND_HERE64 ? 8 : 4;
    const i64 step = list_.stride < 1 ? 1 : list_.stride;
    window_ = (static_cast<i64>(kWindowBytes / bytes_) - 1) / step + 1;
    pipe->InitBuffer(buffer_, kWindowBytes);
  }

  // Index `i`, unchecked.
  __aicore__ inline i64 Get(i64 i) {
    if (list_.form == ACCEL_ASCEND_COUNTED) return first_ + i;
    if (i < begin_ || i >= end_) Load(i);
    const u32 at = static_cast<u32>((i - begin_) * list_.stride);
    if (bytes_ == 8) return buffer_.template Get<int64_t>().GetValue(at);
    return buffer_.template Get<int32_t>().GetValue(at);
  }

  __aicore__ inline i64 Bound() const { return list_.bound; }
  __aicore__ inline i64 Argument() const { return list_.argument; }

 private:
  __aicore__ inline void Load(i64 i) {
    begin_ = i;
    end_ = Min(i + window_, size_);
    const u64 address = list_.data + static_cast<u64>(i * list_.stride * bytes_);
    const u32 span = static_cast<u32>(((end_ - begin_ - 1) * list_.stride + 1) * bytes_);
    Meet<AscendC::HardEvent::S_MTE2>();  // what was read from the window before
    AscendC::DataCopyPad(buffer_.template Get<uint8_t>(), Memory(address, span),
                         AscendC::DataCopyExtParams(1, span, 0, 0, 0),
                         AscendC::DataCopyPadExtParams<uint8_t>(false, 0, 0, 0));
    Meet<AscendC::HardEvent::MTE2_S>();
  }

  AscendC::TBuf<AscendC::TPosition::VECIN> buffer_;
  accel_ascend_list list_;
  i64 first_ = 0, size_ = 0, begin_ = 0, end_ = 0, window_ = 0, bytes_ = 0;
};

}  // namespace accel_ascend

#endif
