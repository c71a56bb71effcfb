// Sets of bytes that strided tensors touch, and whether two of them share one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace accel {

// The bytes at base + sum(i_k * stride_k) + [0, run), 0 <= i_k < extent_k. Strides are positive;
// adjacent dimensions are merged and those of extent 1 dropped.
class Region {
 public:
  Region() = default;
  Region(std::uintptr_t base, std::size_t nbytes) : base_(base), run_(nbytes), span_(nbytes) {}
  Region(std::uintptr_t base, const std::vector<std::int64_t>& shape,
         const std::vector<std::int64_t>& byte_strides, std::int64_t itemsize);

  std::uintptr_t begin() const { return base_; }
  std::uintptr_t end() const { return base_ + span_; }
  bool empty() const { return span_ == 0; }

  enum class Answer { No, Yes, Unknown };
  // Unknown only where the search for a shared byte was given up: some 10^5 steps, which takes
  // strides that are neither nested nor multiples of one another.
  static Answer share_bytes(const Region& a, const Region& b);
  // Whether two different indices touch the same byte.
  Answer overlaps_itself() const;

 private:
  struct Dim {
    std::int64_t extent, stride;
  };
  std::uintptr_t base_ = 0;
  std::vector<Dim> dims_;  // smallest stride first
  std::size_t run_ = 0;    // contiguous bytes at each index
  std::size_t span_ = 0;   // from the first byte to behind the last
  bool repeated_ = false;  // a stride of 0: every byte is touched more than once
};

namespace detail {

// Does sum(coefficient_k * x_k) = target have a solution with 0 <= x_k <= bound_k? Depth first from
// the largest coefficient, cut off where the rest cannot reach the target or does not divide it.
// For nested strides this looks at one or two values a level.
class BoundedSum {
 public:
  void add(std::int64_t coefficient, std::int64_t bound) {
    if (bound <= 0) return;
    for (auto& term : terms_) {
      if (term.coefficient == coefficient) {
        term.bound += bound;
        return;
      }
    }
    terms_.push_back({coefficient, bound, 0, 0});
  }

  Region::Answer reaches(__int128 target) {
    std::sort(terms_.begin(), terms_.end(),
              [](const Term& a, const Term& b) { return a.coefficient > b.coefficient; });
    __int128 most = 0;
    std::int64_t divisor = 0;
    for (auto term = terms_.rbegin(); term != terms_.rend(); ++term) {
      most += static_cast<__int128>(term->coefficient) * term->bound;
      divisor = std::gcd(divisor, term->coefficient);
      term->most_from_here = most;
      term->divisor_from_here = divisor;
    }
    steps_left_ = 200'000;
    const bool found = search(0, target);
    if (found) return Region::Answer::Yes;
    return steps_left_ > 0 ? Region::Answer::No : Region::Answer::Unknown;
  }

 private:
  struct Term {
    std::int64_t coefficient, bound;
    __int128 most_from_here;
    std::int64_t divisor_from_here;
  };

  bool search(std::size_t at, __int128 target) {
    if (target == 0) return true;
    if (at == terms_.size() || target < 0) return false;
    const Term& term = terms_[at];
    if (target > term.most_from_here || target % term.divisor_from_here != 0) return false;
    if (--steps_left_ <= 0) return false;
    const __int128 rest =
        term.most_from_here - static_cast<__int128>(term.coefficient) * term.bound;
    const __int128 c = term.coefficient;
    const __int128 low = target > rest ? (target - rest + c - 1) / c : 0;
    const __int128 high = std::min<__int128>(term.bound, target / c);
    for (__int128 x = high; x >= low; --x) {
      if (search(at + 1, target - x * c)) return true;
      if (steps_left_ <= 0) return false;
    }
    return false;
  }

  std::vector<Term> terms_;
  std::int64_t steps_left_ = 0;
};

}  // namespace detail

inline Region::Region(std::uintptr_t base, const std::vector<std::int64_t>& shape,
               const std::vector<std::int64_t>& byte_strides, std::int64_t itemsize)
    : base_(base), run_(static_cast<std::size_t>(itemsize)) {
  for (std::size_t k = 0; k < shape.size(); ++k) {
    if (shape[k] == 0) {
      run_ = 0;
      dims_.clear();
      return;
    }
    if (shape[k] == 1) continue;
    if (byte_strides[k] == 0) {
      repeated_ = true;
    } else {
      dims_.push_back({shape[k], byte_strides[k]});
    }
  }
  std::sort(dims_.begin(), dims_.end(),
            [](const Dim& a, const Dim& b) { return a.stride < b.stride; });
  while (!dims_.empty() && dims_.front().stride == static_cast<std::int64_t>(run_)) {
    run_ *= static_cast<std::size_t>(dims_.front().extent);
    dims_.erase(dims_.begin());
  }
  span_ = run_;
  for (const Dim& dim : dims_) span_ += static_cast<std::size_t>((dim.extent - 1) * dim.stride);
}

inline Region::Answer Region::share_bytes(const Region& a, const Region& b) {
  if (a.empty() || b.empty() || a.end() <= b.begin() || b.end() <= a.begin()) return Answer::No;
  if (a.dims_.empty() && b.dims_.empty()) return Answer::Yes;
  // base_a + sum(i s) + p = base_b + sum(j t) + q, with j and q counted from their upper ends so
  // that every coefficient is positive.
  detail::BoundedSum sum;
  for (const Dim& dim : a.dims_) sum.add(dim.stride, dim.extent - 1);
  for (const Dim& dim : b.dims_) sum.add(dim.stride, dim.extent - 1);
  sum.add(1, static_cast<std::int64_t>(a.run_ + b.run_) - 2);
  const __int128 target = static_cast<__int128>(b.base_) - static_cast<__int128>(a.base_) +
                          static_cast<__int128>(b.span_) - 1;
  return sum.reaches(target);
}

inline Region::Answer Region::overlaps_itself() const {
  if (empty()) return Answer::No;
  if (repeated_) return Answer::Yes;
  std::size_t inner = run_;
  bool nested = true;
  for (const Dim& dim : dims_) {
    nested = nested && static_cast<std::size_t>(dim.stride) >= inner;
    inner += static_cast<std::size_t>((dim.extent - 1) * dim.stride);
  }
  if (nested) return Answer::No;
  // Two indices differ by d, whose first entry that is not zero, at k, may be taken positive:
  // sum(s d) + e = 0 with |e| < run. Shifted so that every unknown starts at zero.
  Answer answer = Answer::No;
  const auto run = static_cast<std::int64_t>(run_);
  for (std::size_t k = 0; k < dims_.size(); ++k) {
    detail::BoundedSum sum;
    sum.add(dims_[k].stride, dims_[k].extent - 2);
    sum.add(1, 2 * (run - 1));
    __int128 target = static_cast<__int128>(run) - 1 - dims_[k].stride;
    for (std::size_t j = k + 1; j < dims_.size(); ++j) {
      sum.add(dims_[j].stride, 2 * (dims_[j].extent - 1));
      target += static_cast<__int128>(dims_[j].stride) * (dims_[j].extent - 1);
    }
    const Answer one = sum.reaches(target);
    if (one == Answer::Yes) return one;
    if (one == Answer::Unknown) answer = one;
  }
  return answer;
}

}  // namespace accel
