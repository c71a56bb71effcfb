/* What a shared object of BANG C kernels offers beside accel_sim/kernels/run.h. Plain C. */
#ifndef ACCEL_BANG_LAUNCH_H_
#define ACCEL_BANG_LAUNCH_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What `args` of an accel_kernel_launch begin with; the parameters follow. */
enum { ACCEL_BANG_DIM_WORDS = 3 };

/* Copies a launch's parameters, `arguments[i]` the address of parameter i, behind the three
 * dimensions of its tasks. Returns the words that all take; writes them where `room` suffices. 0:
 * `kernel` is none of this shared object that was launched. */
size_t accel_bang_pack(const void* kernel, const uint32_t dim[3], void* const* arguments,
                       uint64_t* words, size_t room);

#ifdef __cplusplus
}
#endif

#endif
