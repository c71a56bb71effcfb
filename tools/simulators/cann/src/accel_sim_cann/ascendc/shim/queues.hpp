// The unified buffer given out: queues of tensors between two pipelines, and plain buffers.
#pragma once

#include <deque>

#include "tensors.hpp"

namespace accel_ascendc {

enum class TPosition : std::uint8_t { GM, VECIN, VECOUT, VECCALC };
using QuePosition = TPosition;

// From the pipeline that fills tensors to the one that empties them.
template <TPosition from, TPosition to, int depth>
class TQueBind {
 public:
  static_assert(depth > 0, "a queue holds at least one tensor");

  template <class T>
  LocalTensor<T> AllocTensor() {
    for (Buffer* const buffer : buffers_) {
      if (buffer->state != Buffer::State::Free) continue;
      if (buffer->freed_once) detail::wait_flag(producer(), buffer->flag + 1);
      buffer->state = Buffer::State::Allocated;
      ++buffer->uses;
      return LocalTensor<T>(buffer, buffer->span);
    }
    broken("AllocTensor: all %zu tensors of the queue are in use", buffers_.size());
  }

  template <class T>
  bool EnQue(const LocalTensor<T>& tensor) {
    Buffer* const buffer = mine(tensor, "EnQue");
    if (buffer->state != Buffer::State::Allocated) broken("EnQue of a tensor that was dequeued");
    if (static_cast<int>(waiting_.size()) >= depth) {
      broken("EnQue: the queue of depth %d is full", depth);
    }
    detail::set_flag(producer(), buffer->flag);
    buffer->state = Buffer::State::Enqueued;
    waiting_.push_back(buffer);
    return true;
  }

  template <class T>
  LocalTensor<T> DeQue() {
    if (waiting_.empty()) broken("DeQue of an empty queue");
    Buffer* const buffer = waiting_.front();
    waiting_.pop_front();
    detail::wait_flag(consumer(), buffer->flag);
    buffer->state = Buffer::State::Dequeued;
    return LocalTensor<T>(buffer, buffer->span);
  }

  template <class T>
  void FreeTensor(const LocalTensor<T>& tensor) {
    Buffer* const buffer = mine(tensor, "FreeTensor");
    if (buffer->state != Buffer::State::Dequeued) {
      broken("FreeTensor of a tensor that was not dequeued");
    }
    detail::set_flag(consumer(), buffer->flag + 1);
    buffer->state = Buffer::State::Free;
    buffer->freed_once = true;
  }

  void add(Buffer* buffer) { buffers_.push_back(buffer); }

 private:
  static constexpr Pipe producer() {
    return from == TPosition::VECIN || from == TPosition::GM ? PIPE_MTE2 : PIPE_V;
  }
  static constexpr Pipe consumer() {
    return to == TPosition::VECOUT || to == TPosition::GM ? PIPE_MTE3 : PIPE_V;
  }
  template <class T>
  Buffer* mine(const LocalTensor<T>& tensor, const char* what) const {
    tensor.check_live(what);
    for (Buffer* const buffer : buffers_) {
      if (buffer == tensor.buffer()) return buffer;
    }
    broken("%s of a tensor of another queue", what);
  }

  std::vector<Buffer*> buffers_;
  std::deque<Buffer*> waiting_;
};

namespace detail {
template <TPosition position, int depth>
struct QueueOf;
template <int depth>
struct QueueOf<TPosition::VECIN, depth> {
  using type = TQueBind<TPosition::VECIN, TPosition::VECCALC, depth>;
};
template <int depth>
struct QueueOf<TPosition::VECOUT, depth> {
  using type = TQueBind<TPosition::VECCALC, TPosition::VECOUT, depth>;
};
}  // namespace detail

template <TPosition position, int depth>
using TQue = typename detail::QueueOf<position, depth>::type;

template <TPosition position>
class TBuf {
 public:
  template <class T>
  LocalTensor<T> Get() const {
    if (buffer_ == nullptr) broken("TBuf::Get before TPipe::InitBuffer");
    return LocalTensor<T>(buffer_, buffer_->span);
  }
  void set(Buffer* buffer) { buffer_ = buffer; }

 private:
  Buffer* buffer_ = nullptr;
};

class TPipe {
 public:
  TPipe() {
    if (current() != nullptr) broken("a second TPipe in one kernel");
    current() = this;
  }
  ~TPipe() { current() = nullptr; }
  TPipe(const TPipe&) = delete;
  TPipe& operator=(const TPipe&) = delete;

  template <TPosition from, TPosition to, int depth>
  bool InitBuffer(TQueBind<from, to, depth>& queue, std::uint8_t count, std::uint32_t bytes) {
    if (count > 8) broken("InitBuffer: %d tensors in a queue, of at most 8", int{count});
    for (int i = 0; i < count; ++i) queue.add(make(bytes, "a tensor of a queue"));
    return true;
  }

  template <TPosition position>
  bool InitBuffer(TBuf<position>& buf, std::uint32_t bytes) {
    Buffer* const buffer = make(bytes, "a TBuf");
    buffer->state = Buffer::State::Always;
    buf.set(buffer);
    return true;
  }

  template <HardEvent event>
  TEventID AllocEventID() {
    std::uint8_t& taken = taken_[static_cast<int>(event)];
    for (int id = 0; id < 8; ++id) {
      if ((taken >> id & 1) != 0) continue;
      taken = static_cast<std::uint8_t>(taken | 1 << id);
      return static_cast<TEventID>(id);
    }
    broken("AllocEventID: all 8 ids of an event are taken");
  }

  template <HardEvent event>
  void ReleaseEventID(TEventID id) {
    std::uint8_t& taken = taken_[static_cast<int>(event)];
    if ((taken >> id & 1) == 0) broken("ReleaseEventID of an id that is not taken");
    taken = static_cast<std::uint8_t>(taken & ~(1 << id));
  }

  template <HardEvent event>
  TEventID FetchEventID() {
    const TEventID id = AllocEventID<event>();
    ReleaseEventID<event>(id);
    return id;
  }

  static TPipe*& current() {
    static thread_local TPipe* pipe = nullptr;
    return pipe;
  }

 private:
  static Buffer* make(std::uint64_t bytes, const char* what) {
    Core& c = core();
    c.buffers.push_back(std::make_unique<Buffer>());
    Buffer* const buffer = c.buffers.back().get();
    buffer->span.begin = c.take_unified(bytes, what);
    buffer->span.end = buffer->span.begin + (bytes + kUnit - 1) / kUnit * kUnit;
    buffer->flag = c.next_flag;
    c.next_flag += 2;
    return buffer;
  }
  std::uint8_t taken_[12] = {};
};

inline TPipe* GetTPipePtr() {
  if (TPipe::current() == nullptr) broken("GetTPipePtr without a TPipe");
  return TPipe::current();
}

}  // namespace accel_ascendc
