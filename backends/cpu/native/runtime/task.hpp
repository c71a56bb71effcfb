// A move-only `void()` callable: what a stream runs. One allocation, no copies of the captures.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace accel_cpu {

class Task {
 public:
  Task() = default;
  template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, Task>>>
  Task(F&& body) : body_(new Body<std::decay_t<F>>(std::forward<F>(body))) {}  // NOLINT: implicit

  void operator()() { body_->run(); }
  explicit operator bool() const { return body_ != nullptr; }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual void run() = 0;
  };
  template <class F>
  struct Body final : Base {
    explicit Body(F&& f) : f(std::move(f)) {}
    explicit Body(const F& f) : f(f) {}
    void run() override { f(); }
    F f;
  };
  std::unique_ptr<Base> body_;
};

}  // namespace accel_cpu
