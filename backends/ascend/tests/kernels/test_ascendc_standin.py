"""The stand-in of AscendC itself: each rule that it enforces, broken by a kernel of its own."""

from __future__ import annotations

import copy_harness
import numpy as np
import pytest

BEGIN = """
#include "kernel_operator.h"
using namespace AscendC;
using Bytes = LocalTensor<uint8_t>;
using u64 = unsigned long long;
static GlobalTensor<uint8_t> At(u64 address, u64 bytes) {
  GlobalTensor<uint8_t> memory;
  memory.SetGlobalBuffer(reinterpret_cast<__gm__ uint8_t*>(address), bytes);
  return memory;
}
static DataCopyExtParams Plain(uint32_t bytes) { return DataCopyExtParams(1, bytes, 0, 0, 0); }
static DataCopyPadExtParams<uint8_t> NoPad() { return {false, 0, 0, 0}; }
template <HardEvent event>
static void Meet() {
  const TEventID id = GetTPipePtr()->FetchEventID<event>();
  SetFlag<event>(id);
  WaitFlag<event>(id);
}
#define KERNEL(name) extern "C" __global__ __aicore__ void name(u64 in, u64 out)
#define THROUGH_A_QUEUE                                         \\
  TPipe pipe;                                                   \\
  TQueBind<TPosition::VECIN, TPosition::VECOUT, 2> queue;       \\
  pipe.InitBuffer(queue, 2, 256);
"""

# name: (what its message holds or "", body). in and out are 256 bytes each.
KERNELS = {
    "right": ("", """
      THROUGH_A_QUEUE
      for (u64 i = 0; i < 4; ++i) {
        Bytes a = queue.AllocTensor<uint8_t>();
        DataCopyPad(a, At(in + 64 * i, 61), Plain(61), NoPad());
        queue.EnQue(a);
        Bytes b = queue.DeQue<uint8_t>();
        DataCopyPad(At(out + 64 * i, 61), b, Plain(61));
        queue.FreeTensor(b);
      }"""),
    "rows": ("", """
      THROUGH_A_QUEUE
      Bytes a = queue.AllocTensor<uint8_t>();
      DataCopyPad(a, At(in, 243), DataCopyExtParams(4, 3, 77, 1, 0), NoPad());
      queue.EnQue(a);
      Bytes b = queue.DeQue<uint8_t>();
      DataCopyPad(At(out, 18), b, DataCopyExtParams(4, 3, 1, 2, 0));
      queue.FreeTensor(b);"""),
    "by_scalars": ("", """
      TPipe pipe;
      TBuf<TPosition::VECCALC> buf;
      pipe.InitBuffer(buf, 64);
      DataCopy(buf.Get<uint8_t>(), At(in, 32), 32);
      Meet<HardEvent::MTE2_S>();
      const auto words = buf.Get<uint8_t>().ReinterpretCast<int32_t>();
      words.SetValue(1, words.GetValue(0) + 1);
      Meet<HardEvent::S_MTE3>();
      DataCopyPad(At(out, 8), buf.Get<uint8_t>(), Plain(8));"""),
    "too_much": ("unified buffer's 196608 bytes", """
      TPipe pipe;
      TQue<TPosition::VECIN, 2> queue;
      pipe.InitBuffer(queue, 2, 98336);"""),
    "odd_local": ("no multiple of 32", """
      THROUGH_A_QUEUE
      Bytes a = queue.AllocTensor<uint8_t>();
      DataCopyPad(a[16], At(in, 8), Plain(8), NoPad());"""),
    "odd_length": ("use DataCopyPad", """
      THROUGH_A_QUEUE
      Bytes a = queue.AllocTensor<uint8_t>();
      DataCopy(a, At(in, 40), 40);"""),
    "no_blocks": ("blockCount 0", """
      THROUGH_A_QUEUE
      Bytes a = queue.AllocTensor<uint8_t>();
      DataCopyPad(a, At(in, 8), DataCopyExtParams(0, 8, 0, 0, 0), NoPad());"""),
    "past_the_tensor": ("of a global tensor of 40 bytes", """
      THROUGH_A_QUEUE
      Bytes a = queue.AllocTensor<uint8_t>();
      DataCopyPad(a, At(in, 40), Plain(41), NoPad());"""),
    "past_the_buffer": ("of a local tensor of 256 bytes", """
      THROUGH_A_QUEUE
      Bytes a = queue.AllocTensor<uint8_t>();
      DataCopyPad(a, At(in, 200), DataCopyExtParams(9, 20, 2, 0, 0), NoPad());"""),
    "past_the_memory": ("it goes past the end of region 0", """
      THROUGH_A_QUEUE
      Bytes a = queue.AllocTensor<uint8_t>();
      DataCopyPad(a, At(in + 200, 57), Plain(57), NoPad());
      queue.EnQue(a);
      queue.FreeTensor(queue.DeQue<uint8_t>());"""),
    "read_only": ("region 0 is not to be written", """
      THROUGH_A_QUEUE
      Bytes a = queue.AllocTensor<uint8_t>();
      DataCopyPad(a, At(in, 8), Plain(8), NoPad());
      queue.EnQue(a);
      Bytes b = queue.DeQue<uint8_t>();
      DataCopyPad(At(in, 8), b, Plain(8));
      queue.FreeTensor(b);"""),
    "not_dequeued": ("was not dequeued", """
      THROUGH_A_QUEUE
      Bytes a = queue.AllocTensor<uint8_t>();
      DataCopyPad(a, At(in, 8), Plain(8), NoPad());
      queue.EnQue(a);
      DataCopyPad(At(out, 8), a, Plain(8));"""),
    "not_enqueued": ("was not enqueued", """
      THROUGH_A_QUEUE
      Bytes a = queue.AllocTensor<uint8_t>();
      DataCopyPad(a, At(in, 8), Plain(8), NoPad());
      DataCopyPad(At(out, 8), a, Plain(8));"""),
    "freed": ("was freed", """
      THROUGH_A_QUEUE
      Bytes a = queue.AllocTensor<uint8_t>();
      DataCopyPad(a, At(in, 8), Plain(8), NoPad());
      queue.EnQue(a);
      Bytes b = queue.DeQue<uint8_t>();
      queue.FreeTensor(b);
      DataCopyPad(At(out, 8), b, Plain(8));"""),
    "not_freed": ("is not freed when the kernel ends", """
      THROUGH_A_QUEUE
      queue.AllocTensor<uint8_t>();"""),
    "too_many": ("all 2 tensors of the queue are in use", """
      THROUGH_A_QUEUE
      for (int i = 0; i < 3; ++i) queue.AllocTensor<uint8_t>();"""),
    "nothing_there": ("DeQue of an empty queue", """
      THROUGH_A_QUEUE
      queue.DeQue<uint8_t>();"""),
    "scalar_too_early": ("GetValue on pipeline S may go ahead of DataCopy", """
      TPipe pipe;
      TBuf<TPosition::VECCALC> buf;
      pipe.InitBuffer(buf, 64);
      DataCopy(buf.Get<uint8_t>(), At(in, 32), 32);
      buf.Get<int64_t>().GetValue(3);"""),
    "scalar_overwrites": ("SetValue on pipeline S may go ahead of DataCopyPad", """
      TPipe pipe;
      TBuf<TPosition::VECCALC> buf;
      pipe.InitBuffer(buf, 64);
      buf.Get<int64_t>().SetValue(0, 5);
      Meet<HardEvent::S_MTE3>();
      DataCopyPad(At(out, 8), buf.Get<uint8_t>(), Plain(8));
      buf.Get<int64_t>().SetValue(0, 6);"""),
    "never_set": ("a flag that is never set", """
      TPipe pipe;
      WaitFlag<HardEvent::MTE2_S>(pipe.AllocEventID<HardEvent::MTE2_S>());"""),
    "never_set_elsewhere": ("a flag that is never set", """
      TPipe pipe;
      WaitFlag<HardEvent::V_MTE3>(0);"""),
    "set_twice": ("nobody has waited for", """
      TPipe pipe;
      SetFlag<HardEvent::S_MTE3>(0);
      SetFlag<HardEvent::S_MTE3>(0);"""),
    "out_of_order": ("no flag and no queue orders them", """
      TPipe pipe;
      TBuf<TPosition::VECCALC> buf;
      pipe.InitBuffer(buf, 64);
      DataCopy(buf.Get<uint8_t>(), At(in, 32), 32);
      DataCopy(At(out, 32), buf.Get<uint8_t>(), 32);"""),
    "reused_too_early": ("no flag and no queue orders them", """
      TPipe pipe;
      TBuf<TPosition::VECCALC> buf;
      pipe.InitBuffer(buf, 64);
      for (int i = 0; i < 2; ++i) {
        DataCopy(buf.Get<uint8_t>(), At(in, 32), 32);
        Meet<HardEvent::MTE2_MTE3>();
        DataCopy(At(out, 32), buf.Get<uint8_t>(), 32);
      }"""),
    "two_pipes": ("a second TPipe", "TPipe a; TPipe b;"),
    "same_tail": ("in the same 32 bytes", """
      THROUGH_A_QUEUE
      const u64 i = GetBlockIdx();
      Bytes a = queue.AllocTensor<uint8_t>();
      DataCopyPad(a, At(in, 16), Plain(16), NoPad());
      queue.EnQue(a);
      Bytes b = queue.DeQue<uint8_t>();
      DataCopyPad(At(out + 16 * i, 16), b, Plain(16));
      queue.FreeTensor(b);"""),
    "read_behind": ("one writes what the other reads", """
      THROUGH_A_QUEUE
      const u64 i = GetBlockIdx();
      Bytes a = queue.AllocTensor<uint8_t>();
      DataCopyPad(a, At(out + (i == 0 ? 0 : 40), 16), Plain(16), NoPad());
      queue.EnQue(a);
      Bytes b = queue.DeQue<uint8_t>();
      DataCopyPad(At(out + (i == 0 ? 32 : 96), 16), b, Plain(16));
      queue.FreeTensor(b);"""),
    "neighbours": ("", """
      THROUGH_A_QUEUE
      const u64 i = GetBlockIdx();
      Bytes a = queue.AllocTensor<uint8_t>();
      DataCopyPad(a, At(in + 5 * i, 16), Plain(16), NoPad());
      queue.EnQue(a);
      Bytes b = queue.DeQue<uint8_t>();
      DataCopyPad(At(out + 32 * i, 16), b, Plain(16));
      queue.FreeTensor(b);"""),
}  # fmt: skip


@pytest.fixture(scope="module")
def planted(builder, tmp_path_factory):
    path = tmp_path_factory.mktemp("planted") / "planted.cpp"
    bodies = (f"KERNEL({n}) {{ (void)in; (void)out; {b} }}\n" for n, (_, b) in KERNELS.items())
    path.write_text(BEGIN + "".join(bodies))
    return builder.library(path, whole=False)


def run(library, name, *given, **options):
    copy_harness.run_kernel(library, getattr(library, name), *given, **options)


@pytest.mark.parametrize("name", KERNELS)
def test_a_rule(planted, standin, name):
    wrong, _ = KERNELS[name]
    given, out = np.arange(256, dtype=np.uint8), np.full(256 + 64, 7, np.uint8)
    first = -out.ctypes.data % 32
    made = out[first : first + 256]
    memory = [(given.ctypes.data, 256, False), (made.ctypes.data, 256, True)]
    args = [given.ctypes.data, made.ctypes.data]
    cores = 2 if name in ("same_tail", "read_behind", "neighbours") else 1
    for _ in range(5):  # of different seeds
        made[:] = 7
        if wrong:
            with pytest.raises(copy_harness.KernelFault, match=wrong):
                run(planted, name, args, memory, cores=cores, local=standin.local_bytes)
            continue
        run(planted, name, args, memory, cores=cores, local=standin.local_bytes)
        expected = np.full(256, 7, np.uint8)
        if name == "right":
            for i in range(0, 256, 64):
                expected[i : i + 61] = given[i : i + 61]
        elif name == "rows":
            for i in range(4):
                expected[5 * i : 5 * i + 3] = given[80 * i : 80 * i + 3]
        elif name == "by_scalars":
            expected[:8] = [0, 1, 2, 3, 1, 1, 2, 3]
        else:
            expected[:16], expected[32:48] = given[:16], given[5:21]
        assert np.array_equal(made, expected)


def test_a_smaller_unified_buffer(kv_copy):
    """The movement kernel needs what Ascend 910B has, and says so on less."""
    words = np.zeros(100, np.uint64)
    memory = [(words.ctypes.data, words.nbytes, False)]
    with pytest.raises(copy_harness.KernelFault, match="unified buffer's 65536 bytes"):
        run(kv_copy, "accel_kv_copy", [words.ctypes.data], memory, local=65536)
