// Functions that the posed release of a vendor's library does not have.
#pragma once

#include <initializer_list>

namespace accel_sim __attribute__((visibility("default"))) {

// Takes the names out of what lookups find in the library that `inside` lies in: callers choose what
// to use by what is there. To be called while the library is loaded, from a constructor; what another
// library links is bound by then. Ends the process when a name cannot be hidden.
void hide_functions(const void* inside, std::initializer_list<const char*> names);

}  // namespace accel_sim
