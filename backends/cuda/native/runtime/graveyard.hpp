// Python references that are dropped where the GIL cannot be taken: on the driver's threads.
#pragma once

#include <Python.h>

#include <vector>

namespace accel_cuda {

// Hands over owned references; any thread, with or without the GIL.
void bury(std::vector<PyObject*> owned);

// Releases what was handed over. The GIL must be held. About 1 ns when there is nothing.
void drain_graveyard();

}  // namespace accel_cuda
