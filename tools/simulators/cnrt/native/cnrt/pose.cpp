#include "pose.hpp"

#include "accel_sim/modes.hpp"
#include "api.hpp"

namespace cnrt {
namespace {

Pose posed() {
  Pose pose;
  if (accel_sim::choice("ACCEL_SIM_CNRT", {"6.14", "6.0"}) == "6.0") {
    pose.is_614 = false;
    pose.minor = 0;
    pose.patch = 2;
  }
  pose.release = std::to_string(pose.major) + "." + std::to_string(pose.minor) + "." +
                 std::to_string(pose.patch);
  if (accel_sim::choice("ACCEL_SIM_NOT_READY", {"notready", "busy"}) == "busy") {
    pose.not_ready = cnrtErrorBusy;
  }
  pose.chip = "MLU590";
  if (accel_sim::choice("ACCEL_SIM_CHIP", {"mlu590", "mlu370"}) == "mlu370") {
    pose.chip = "MLU370";
    pose.capability = 37;
    pose.isa = 372;
    pose.clusters = 8;
    pose.nram_bytes = 768 << 10;
    pose.wram_bytes = 1 << 20;
    pose.sram_bytes = 4 << 20;
    pose.l2_bytes = 8 << 20;
  }
  return pose;
}

}  // namespace

const Pose& pose() {
  static const Pose* const one = new Pose(posed());
  return *one;
}

void require_614(const char* name) {
  if (pose().is_614) return;
  throw Failure(Kind::not_supported, std::string(name) + " is not part of CNRT " + pose().release +
                                         ", as which the simulator poses");
}

}  // namespace cnrt
