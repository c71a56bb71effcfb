// A host stand-in for the part of BANG C that accel's kernels use: a C++ compiler builds the same
// sources, and what a kernel does to memory is checked as it runs. Not the vendor's code, no timing
// model.
//
// What is enforced: the size of NRAM less the stack's share; directions of copies, and that each
// side lies where its direction says; bounds of NRAM and shared memory, and global memory that
// exists; strides and counts of segments; 128-byte rules of vector operations; that asynchronous
// copies are awaited before anything uses the same bytes, and before the kernel ends; meetings of a
// cluster that all of its cores come to; and races of cores on bytes of global and shared memory.
#pragma once

#define ACCEL_BANG_STANDIN 1

#include <cstddef>
#include <cstdint>

#define __mlu_entry__ __attribute__((visibility("hidden")))
#define __mlu_func__ inline __attribute__((visibility("hidden")))
#define __mlu_device__ inline __attribute__((visibility("hidden")))
#define __nram__ __attribute__((visibility("hidden"), section("accel_nram"), aligned(128)))
#define __mlu_shared__ __attribute__((visibility("hidden"), section("accel_sram"), aligned(128)))

#include "shim/core.hpp"
#include "shim/copies.hpp"
#include "shim/meeting.hpp"
#include "shim/vectors.hpp"
#include "shim/launch.hpp"

using accel_bang::GDRAM2GDRAM;
using accel_bang::GDRAM2NRAM;
using accel_bang::GDRAM2SRAM;
using accel_bang::NRAM2GDRAM;
using accel_bang::NRAM2NRAM;
using accel_bang::NRAM2SRAM;
using accel_bang::SRAM2GDRAM;
using accel_bang::SRAM2NRAM;

using accel_bang::__bang_write_value;
using accel_bang::__memcpy;
using accel_bang::__memcpy_async;
using accel_bang::__sync;
using accel_bang::__sync_cluster;
using accel_bang::__sync_io;

// A task, of taskDim = taskDimX * taskDimY * taskDimZ.
#define taskDimX (::accel_bang::core().dim[0])
#define taskDimY (::accel_bang::core().dim[1])
#define taskDimZ (::accel_bang::core().dim[2])
#define taskDim (::accel_bang::core().count)
#define taskId (::accel_bang::core().index)
#define taskIdX (taskId % taskDimX)
#define taskIdY (taskId / taskDimX % taskDimY)
#define taskIdZ (taskId / taskDimX / taskDimY)
// Where it runs. A task of a Block launch is a cluster of its own here.
#define coreDim (::accel_bang::core().cluster_cores)
#define coreId (taskId % coreDim)
#define clusterDim (taskDim / coreDim)
#define clusterId (taskId / coreDim)
