#include "pose.hpp"

#include "accel_sim/failure.hpp"
#include "accel_sim/modes.hpp"

namespace ascendcl {
namespace {

Pose posed() {
  Pose pose;
  const std::string version = accel_sim::choice("ACCEL_SIM_CANN", {"8.5", "8.3", "8.0"});
  if (version == "8.5") {
    pose.version = 805;
    pose.release = "8.5.0";
    pose.driver = "25.5.0";
  } else if (version == "8.3") {
    pose.version = 803;
    pose.release = "8.3.RC1";
    pose.driver = "25.3.RC1";
  } else {
    pose.version = 800;
    pose.release = "8.0.0";
    pose.driver = "24.1.0";
  }
  if (accel_sim::choice("ACCEL_SIM_SOC", {"910B", "310P"}) == "910B") {
    pose.soc = "Ascend910B1";
    pose.ai_cores = 24;
    pose.vector_cores = 48;
    pose.l2_bytes = 192ll << 20;
  } else {
    pose.soc = "Ascend310P3";
    pose.ai_cores = 8;
    pose.vector_cores = 7;
    pose.l2_bytes = 16ll << 20;
  }
  return pose;
}

}  // namespace

const Pose& pose() {
  static const Pose* const one = new Pose(posed());
  return *one;
}

void require_release(int version, const char* name) {
  if (pose().version >= version) return;
  throw accel_sim::Failure(accel_sim::Kind::not_supported,
                           std::string(name) + " is not part of CANN " + pose().release +
                               ", as which the simulator poses");
}

}  // namespace ascendcl
