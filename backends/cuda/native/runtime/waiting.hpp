// Waiting for the device in a way that a signal can end.
#pragma once

#include <pybind11/pybind11.h>

#include <accel/errors.hpp>
#include <chrono>
#include <thread>

namespace accel_cuda {

template <class Step>
void wait_interruptibly(Step step) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kSpin = std::chrono::milliseconds(10);
  constexpr auto kSleep = std::chrono::microseconds(50);
  constexpr auto kSlice = std::chrono::milliseconds(100);
  const auto start = Clock::now();
  for (;;) {
    bool done = false;
    {
      pybind11::gil_scoped_release unlocked;
      const auto slice = Clock::now();
      for (;;) {
        done = step();
        if (done) break;
        const auto now = Clock::now();
        if (now - slice > kSlice) break;
        // At first as the driver does, which spins all the time; a long wait is not worth a core.
        if (now - start < kSpin) {
          std::this_thread::yield();
        } else {
          std::this_thread::sleep_for(kSleep);
        }
      }
    }
    if (done) return;
    if (PyErr_CheckSignals() != 0) throw accel::ErrorSet();
  }
}

}  // namespace accel_cuda
