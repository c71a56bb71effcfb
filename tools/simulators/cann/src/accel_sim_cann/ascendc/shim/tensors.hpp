// Global and local tensors: addresses with bounds.
#pragma once

#include <cstring>

#include "pipes.hpp"

namespace accel_ascendc {

template <class T>
class GlobalTensor {
 public:
  void SetGlobalBuffer(__gm__ T* address, std::uint64_t elements) {
    address_ = reinterpret_cast<std::uint64_t>(address);
    size_ = elements;
  }

  T GetValue(std::uint64_t index) const {
    T value;
    std::memcpy(&value, core().global(at(index, sizeof(T)), sizeof(T), false), sizeof(T));
    return value;
  }

  GlobalTensor operator[](std::uint64_t offset) const {
    if (offset > size_) broken("a global tensor of %llu elements is offset by %llu",
                               static_cast<unsigned long long>(size_),
                               static_cast<unsigned long long>(offset));
    GlobalTensor part;
    part.address_ = address_ + offset * sizeof(T);
    part.size_ = size_ - offset;
    return part;
  }

  std::uint64_t GetSize() const { return size_; }

  // The address of `bytes` bytes at byte `offset`, within bounds.
  std::uint64_t at_byte(std::uint64_t offset, std::uint64_t bytes) const {
    const std::uint64_t all = size_ * sizeof(T);
    if (offset > all || bytes > all - offset) {
      broken("bytes [%llu, %llu) of a global tensor of %llu bytes",
             static_cast<unsigned long long>(offset),
             static_cast<unsigned long long>(offset + bytes), static_cast<unsigned long long>(all));
    }
    return address_ + offset;
  }

 private:
  std::uint64_t at(std::uint64_t index, std::uint64_t bytes) const {
    return at_byte(index * sizeof(T), bytes);
  }
  std::uint64_t address_ = 0, size_ = 0;
};

template <class T>
class LocalTensor {
 public:
  LocalTensor() = default;
  LocalTensor(Buffer* buffer, Span span) : buffer_(buffer), uses_(buffer->uses), span_(span) {}

  std::uint64_t GetSize() const { return (span_.end - span_.begin) / sizeof(T); }

  LocalTensor operator[](std::uint64_t offset) const {
    LocalTensor part = *this;
    part.span_.begin = piece(offset * sizeof(T), 0).begin;
    return part;
  }

  template <class U>
  LocalTensor<U> ReinterpretCast() const {
    return LocalTensor<U>(buffer_, span_, uses_);
  }

  T GetValue(std::uint64_t index) const {
    T value;
    check_readable("GetValue");
    const Span bytes = piece(index * sizeof(T), sizeof(T));
    detail::check_scalar(bytes, false, "GetValue");
    std::memcpy(&value, core().unified.data() + bytes.begin, sizeof(T));
    return value;
  }

  void SetValue(std::uint64_t index, T value) const {
    check_live("SetValue");
    const Span bytes = piece(index * sizeof(T), sizeof(T));
    detail::check_scalar(bytes, true, "SetValue");
    std::memcpy(core().unified.data() + bytes.begin, &value, sizeof(T));
  }

  // Bytes of the unified buffer at a byte offset, within the tensor.
  Span piece(std::uint64_t offset, std::uint64_t bytes) const {
    const std::uint64_t all = span_.end - span_.begin;
    if (offset > all || bytes > all - offset) {
      broken("bytes [%llu, %llu) of a local tensor of %llu bytes",
             static_cast<unsigned long long>(offset),
             static_cast<unsigned long long>(offset + bytes), static_cast<unsigned long long>(all));
    }
    return {span_.begin + offset, span_.begin + offset + bytes};
  }

  void check_live(const char* what) const {
    if (buffer_ == nullptr) broken("%s on a tensor that was never allocated", what);
    if (buffer_->uses != uses_ || buffer_->state == Buffer::State::Free) {
      broken("%s on a tensor that was freed", what);
    }
    if (buffer_->state == Buffer::State::Enqueued) {
      broken("%s on a tensor that is in a queue and was not dequeued", what);
    }
  }
  void check_readable(const char* what) const {
    check_live(what);
    if (buffer_->state == Buffer::State::Allocated) {
      broken("%s reads a tensor that was not enqueued and dequeued", what);
    }
  }
  void check_fillable(const char* what) const {
    check_live(what);
    if (buffer_->state == Buffer::State::Dequeued) {
      broken("%s fills a tensor that was dequeued already", what);
    }
  }

  Buffer* buffer() const { return buffer_; }

  LocalTensor(Buffer* buffer, Span span, std::uint64_t uses)
      : buffer_(buffer), uses_(uses), span_(span) {}

 private:
  Buffer* buffer_ = nullptr;
  std::uint64_t uses_ = 0;
  Span span_;
};

}  // namespace accel_ascendc
