// A host stand-in for the AscendC classes that accel's kernels use: g++ compiles the same sources,
// and what a kernel does to memory is checked as it runs. Not the vendor's code, no timing model.
//
// What is enforced: the unified buffer's size, 32-byte rules of local addresses and of DataCopy,
// the bounds of global tensors and of what the runner says is memory, the life of a tensor
// (allocated, enqueued, dequeued, freed), order between pipelines (flags and queues must order what
// uses the same bytes; the rest is done in random seeded order), and races of cores on 32 bytes of
// global memory.
#pragma once

#include <cstddef>
#include <cstdint>

#define __global__ __attribute__((visibility("default")))
#define __aicore__
#define __gm__
#define __ubuf__
#define GM_ADDR __gm__ std::uint8_t*

#include "shim/core.hpp"
#include "shim/pipes.hpp"
#include "shim/tensors.hpp"
#include "shim/queues.hpp"
#include "shim/copies.hpp"

namespace AscendC {
using accel_ascendc::DataCopy;
using accel_ascendc::DataCopyExtParams;
using accel_ascendc::DataCopyPad;
using accel_ascendc::DataCopyPadExtParams;
using accel_ascendc::DataCopyParams;
using accel_ascendc::GetBlockIdx;
using accel_ascendc::GetBlockNum;
using accel_ascendc::GetTPipePtr;
using accel_ascendc::GlobalTensor;
using accel_ascendc::HardEvent;
using accel_ascendc::LocalTensor;
using accel_ascendc::PipeBarrier;
using accel_ascendc::QuePosition;
using accel_ascendc::SetFlag;
using accel_ascendc::TBuf;
using accel_ascendc::TEventID;
using accel_ascendc::TPipe;
using accel_ascendc::TPosition;
using accel_ascendc::TQue;
using accel_ascendc::TQueBind;
using accel_ascendc::WaitFlag;
}  // namespace AscendC

using accel_ascendc::PIPE_ALL;
using accel_ascendc::PIPE_MTE2;
using accel_ascendc::PIPE_MTE3;
using accel_ascendc::PIPE_S;
using accel_ascendc::PIPE_V;
