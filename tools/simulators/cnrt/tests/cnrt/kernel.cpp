// A kernel for the tests of cnrtInvokeKernel, and the host function that launches it.
#include "bang.h"

__nram__ unsigned char piece[128];

// Each task adds its number to its own 64 bytes.
__mlu_entry__ void add_task(unsigned char* data, int factor) {
  __memcpy(piece, data + 64 * taskId, 64, GDRAM2NRAM);
  for (int i = 0; i < 64; ++i) {
    accel_bang::scalar_store(
        piece + i,
        static_cast<unsigned char>(accel_bang::scalar_load(piece + i) + factor * int(taskId)));
  }
  __memcpy(data + 64 * taskId, piece, 64, NRAM2GDRAM);
}

extern "C" __attribute__((visibility("default"))) int launch_add_task(
    void* queue, unsigned tasks, unsigned type, unsigned char* data, int factor) {
  return accel_bang::launch(add_task, cnrtDim3_t{tasks, 1, 1},
                            static_cast<cnrtFunctionType_t>(type), queue, data, factor);
}
