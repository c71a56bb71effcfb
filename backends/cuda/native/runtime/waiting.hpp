// Waiting for the device in a way that a signal can end.
#pragma once

#include <pybind11/pybind11.h>

#include <accel/errors.hpp>
#include <algorithm>
#include <chrono>
#include <thread>

namespace accel_cuda {

template <class Step>
void wait_interruptibly(Step step) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kSpin = std::chrono::microseconds(500);
  constexpr auto kLongestSleep = std::chrono::microseconds(200);
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
        // At first as the driver does, which spins too; a long wait costs at most a tenth more.
        if (now - start < kSpin) {
          std::this_thread::yield();
        } else {
          std::this_thread::sleep_for(std::min<Clock::duration>(kLongestSleep, (now - start) / 10));
        }
      }
    }
    if (done) return;
    if (PyErr_CheckSignals() != 0) throw accel::ErrorSet();
  }
}

}  // namespace accel_cuda
