// One operator in one line:
//
//   ACLNN(aclnnAdd, (T self, T other, S alpha, Out out), out = at::add(self, other, alpha))
//
// exports aclnnAddGetWorkspaceSize, which copies the arguments out of their descriptors, and
// aclnnAdd, which puts the body on a stream. The parameters are those of the C function without the
// last two (workspace size and executor); their types say how each one travels
// (core/arguments.hpp). A body that throws fails its stream.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <tuple>

#include "core/arguments.hpp"

// What GetWorkspaceSize hands to the launch.
struct aclOpExecutor {
  const char* name = nullptr;
  std::function<void()> body;  // repeatable: a captured graph runs it many times
  std::uint64_t bytes = 0;     // of all tensors, for the trace
  accel_opapi::Addresses addresses;
  bool waits = false;       // the launch returns when the body is done
  bool repeatable = false;  // the executor outlives its launch
};

namespace accel_opapi {

using T = const at::Tensor&;
using S = const at::Scalar&;
using MaybeS = const MaybeScalar&;
using Text = const std::string&;
using I = std::int64_t;
using U = std::uint64_t;
using D = double;

// For torch functions that tell a missing tensor by std::nullopt.
inline std::optional<at::Tensor> maybe(T tensor) {
  return tensor.defined() ? std::optional<at::Tensor>(tensor) : std::nullopt;
}

int prepare(const char* name, aclOpExecutor* executor, std::uint64_t* workspace,
            aclOpExecutor** result);
int launch(const char* name, aclOpExecutor* executor, void* stream) noexcept;
int prepare_failed(const char* name) noexcept;  // inside a catch block

// Makes a name countable (accel_sim_operators in core/operator.cpp).
struct Registered {
  explicit Registered(const char* name);
};

template <auto Body, const char* Name>
struct Entry;

template <class... Parameters, void (*Body)(Parameters...), const char* Name>
struct Entry<Body, Name> {
  template <class Parameter>
  using Travel = Argument<std::decay_t<Parameter>>;

  static int prepare(typename Travel<Parameters>::Abi... given, std::uint64_t* workspace,
                     aclOpExecutor** result) noexcept {
    try {
      auto executor = std::make_unique<aclOpExecutor>();
      std::tuple<typename Travel<Parameters>::Kept...> kept(Travel<Parameters>::keep(given)...);
      std::apply(
          [&](const auto&... each) {
            executor->bytes = (std::uint64_t{0} + ... + Travel<Parameters>::bytes(each));
            (Travel<Parameters>::addresses(each, executor->addresses), ...);
          },
          kept);
      executor->waits = (false || ... || Travel<Parameters>::waits);
      executor->body = [kept = std::move(kept)] {
        std::apply([](const auto&... each) { Body(Travel<Parameters>::open(each)...); }, kept);
      };
      return accel_opapi::prepare(Name, executor.release(), workspace, result);
    } catch (...) {
      return prepare_failed(Name);
    }
  }
};

// A function as its symbol alone tells it: without its parameters.
using Symbol = int (*)();
template <class Function>
Symbol symbol(Function* function) {
  return reinterpret_cast<Symbol>(reinterpret_cast<void*>(function));
}

}  // namespace accel_opapi

// GetWorkspaceSize has a signature that follows from the body's, so its symbol is bound to a
// template instance; an indirect function is the way to name one (its resolver runs when the symbol
// is looked up).
#define ACLNN(NAME, PARAMETERS, ...)                                                             \
  namespace {                                                                                    \
  void NAME##_body PARAMETERS { __VA_ARGS__; }                                                   \
  constexpr char NAME##_name[] = #NAME;                                                          \
  const accel_opapi::Registered NAME##_registered{NAME##_name};                                  \
  }                                                                                              \
  extern "C" {                                                                                   \
  __attribute__((visibility("hidden"), used)) accel_opapi::Symbol NAME##_resolve() {             \
    return accel_opapi::symbol(&accel_opapi::Entry<&NAME##_body, NAME##_name>::prepare);         \
  }                                                                                              \
  __attribute__((visibility("default"), ifunc(#NAME "_resolve"))) int NAME##GetWorkspaceSize();  \
  __attribute__((visibility("default"))) int NAME(void*, std::uint64_t, aclOpExecutor* executor, \
                                                  void* stream) {                                \
    return accel_opapi::launch(NAME##_name, executor, stream);                                   \
  }                                                                                              \
  }
