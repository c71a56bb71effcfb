/* Index lists of a KV copy, read by a kernel through a window in memory near the core. C++, shared
 * by the vendors' kernels; define ACCEL_KV_FN before, as for accel/kv_address.h.
 *
 * A Window holds a stretch of a list:
 *   kBytes                             how much of the list it takes
 *   Load(list, first, bytes)           fills it with `bytes` bytes from element `first` on
 *   Value(at, wide)                    element `at` of what was filled, an int64 or an int32
 */
#ifndef ACCEL_KV_INDEX_LIST_H
#define ACCEL_KV_INDEX_LIST_H

#include "kv_copy_args.h"

namespace accel_kv {

template <class Window>
class IndexList {
 public:
  /* `size` units; a counted list begins at `first`. */
  ACCEL_KV_FN void Init(const accel_kv_list& list, accel_i64 size, accel_i64 first) {
    list_ = list;
    first_ = first;
    size_ = size;
    wide_ = list_.form == ACCEL_KV_INT64 || list_.form == ACCEL_KV_HERE64;
    const accel_i64 step = list_.stride < 1 ? 1 : list_.stride;
    held_ = (Window::kBytes / (wide_ ? 8 : 4) - 1) / step + 1;
  }

  /* Index `i`, unchecked. */
  ACCEL_KV_FN accel_i64 Get(accel_i64 i) {
    if (list_.form == ACCEL_KV_COUNTED) return first_ + i;
    if (i < begin_ || i >= end_) {
      begin_ = i;
      end_ = i + held_ < size_ ? i + held_ : size_;
      const accel_i64 span = (end_ - begin_ - 1) * list_.stride + 1;
      window.Load(list_, i * list_.stride, span * (wide_ ? 8 : 4));
    }
    return window.Value((i - begin_) * list_.stride, wide_);
  }

  ACCEL_KV_FN accel_i64 Bound() const { return list_.bound; }
  ACCEL_KV_FN accel_i64 Argument() const { return list_.argument; }

  Window window;

 private:
  accel_kv_list list_;
  accel_i64 first_ = 0, size_ = 0, begin_ = 0, end_ = 0, held_ = 0;
  bool wide_ = false;
};

}  // namespace accel_kv

#endif /* ACCEL_KV_INDEX_LIST_H */
