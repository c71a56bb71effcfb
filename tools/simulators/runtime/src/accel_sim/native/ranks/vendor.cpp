#include "accel_sim/ranks/vendor.hpp"

namespace accel_ranks {
namespace {

Vendor& only() {
  static Vendor* const registered = new Vendor;
  return *registered;
}

}  // namespace

void register_vendor(const Vendor& vendor) { only() = vendor; }

const Vendor& vendor() { return only(); }

}  // namespace accel_ranks
