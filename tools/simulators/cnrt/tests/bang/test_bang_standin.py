"""The stand-in of BANG C itself: each rule that it enforces, broken by a kernel of its own."""

from __future__ import annotations

import ctypes

import copy_harness
import numpy as np
import pytest

NRAM_BYTES = 512 << 10

BEGIN = """
#include "bang.h"
#include <cstring>
using u8 = unsigned char;
using accel_bang::scalar_load;
using accel_bang::scalar_store;
__nram__ u8 nram[2048];
__mlu_shared__ u8 shared[1024];
#define KERNEL(name) \\
  __mlu_entry__ void name(u8* in, u8* out); \\
  extern "C" __attribute__((visibility("default"))) int launch_##name( \\
      void* queue, cnrtDim3_t dim, cnrtFunctionType_t type, u8* in, u8* out) { \\
    return accel_bang::launch(name, dim, type, queue, in, out); \\
  } \\
  __mlu_entry__ void name(u8* in, u8* out)

// What the launches call: it keeps what it was given, for the test to run.
static std::uint64_t words[64];
static std::size_t taken;
static const void* launched;
extern "C" int cnrtInvokeKernel(const void* kernel, cnrtDim3_t dim, cnrtFunctionType_t,
                                void** given, std::size_t, cnrtQueue_t) {
  const std::uint32_t tasks[] = {dim.x, dim.y, dim.z};
  launched = kernel;
  taken = accel_bang_pack(kernel, tasks, given, words, 64);
  return 0;
}
extern "C" __attribute__((visibility("default"))) const void* packed(std::uint64_t* to,
                                                                     std::size_t* count) {
  std::memcpy(to, words, sizeof words);
  *count = taken;
  return launched;
}
"""

# name: (what its message holds or "", body). in and out are 256 bytes each.
KERNELS = {
    "right": ("", """
      __memcpy_async(nram, in, 256, GDRAM2NRAM);
      __sync_io();
      __memcpy_async(out, nram, 256, NRAM2GDRAM);
      __sync();"""),
    "rows": ("", """
      __memcpy(nram, in, 3, GDRAM2NRAM, 5, 80, 3);
      __memcpy(out, nram, 3, NRAM2GDRAM, 6, 5, 3);"""),
    "within_nram": ("", """
      __memcpy(nram, in, 100, GDRAM2NRAM);
      __memcpy(nram + 1000, nram, 100, NRAM2NRAM);
      __memcpy(out, nram + 1000, 100, NRAM2GDRAM);"""),
    "by_scalars": ("", """
      __memcpy(nram, in, 16, GDRAM2NRAM);
      for (int i = 0; i < 16; ++i) scalar_store(nram + 64 + i, u8(scalar_load(nram + i) + 1));
      __memcpy(out, nram + 64, 16, NRAM2GDRAM);"""),
    "by_vectors": ("", """
      __bang_write_value(reinterpret_cast<int*>(nram + 128), 32, 0x01010101);
      __memcpy(out, nram + 128, 128, NRAM2GDRAM);"""),
    "wrong_direction": ("the source lies in NRAM, the direction says GDRAM", """
      __memcpy(nram, nram + 512, 8, GDRAM2NRAM);"""),
    "wrong_direction_back": ("the destination lies in GDRAM, the direction says NRAM", """
      __memcpy(out, nram, 8, GDRAM2NRAM);"""),
    "stack": ("no memory is there", """
      u8 local[8] = {};
      __memcpy(nram, local, 8, GDRAM2NRAM);"""),
    "past_nram": ("past the end of NRAM", """
      __memcpy(nram + 2040, in, 200, GDRAM2NRAM);"""),
    "past_shared": ("past the end of SRAM", """
      __memcpy(shared + 1020, in, 8, GDRAM2SRAM);"""),
    "past_the_memory": ("it goes past the end of region 0", """
      __memcpy(nram, in + 200, 57, GDRAM2NRAM);"""),
    "segnum_is_one_less": ("it goes past the end of region 0", """
      __memcpy(nram, in, 64, GDRAM2NRAM, 64, 60, 4);"""),
    "read_only": ("region 0 is not to be written", """
      __memcpy(nram, in, 8, GDRAM2NRAM);
      __memcpy(in, nram, 8, NRAM2GDRAM);"""),
    "no_bytes": ("of 0 bytes", "__memcpy(nram, in, 0, GDRAM2NRAM);"),
    "overlapping_segments": ("strides of 4 and 8 bytes for segments of 8", """
      __memcpy(nram, in, 8, GDRAM2NRAM, 4, 8, 2);"""),
    "overlap": ("source and destination overlap", """
      __memcpy(nram, in, 128, GDRAM2NRAM);
      __memcpy(nram + 64, nram, 128, NRAM2NRAM);"""),
    "not_awaited": ("no __sync_io or __sync", """
      __memcpy_async(nram, in, 8, GDRAM2NRAM);
      __memcpy(out, nram, 8, NRAM2GDRAM);"""),
    "async_in_turn": ("an asynchronous copy under way writes", """
      __memcpy_async(nram, in, 8, GDRAM2NRAM);
      __memcpy_async(out, nram, 8, NRAM2GDRAM);
      __sync();"""),
    "refilled_too_early": ("an asynchronous copy under way reads", """
      __memcpy(nram, in, 8, GDRAM2NRAM);
      __memcpy_async(out, nram, 8, NRAM2GDRAM);
      __memcpy_async(nram, in + 8, 8, GDRAM2NRAM);
      __sync();"""),
    "scalar_too_early": ("a scalar load uses bytes of NRAM", """
      __memcpy_async(nram, in, 8, GDRAM2NRAM);
      scalar_load(nram + 3);
      __sync();"""),
    "scalar_overwrites": ("a scalar store uses bytes of NRAM", """
      __memcpy(nram, in, 8, GDRAM2NRAM);
      __memcpy_async(out, nram, 8, NRAM2GDRAM);
      scalar_store(nram + 3, u8(1));
      __sync();"""),
    "vector_too_early": ("__bang_write_value uses bytes of NRAM", """
      __memcpy_async(nram, in, 8, GDRAM2NRAM);
      __bang_write_value(reinterpret_cast<int*>(nram), 32, 0);
      __sync();"""),
    "global_read_behind": ("under way writes", """
      __memcpy(nram, in, 8, GDRAM2NRAM);
      __memcpy_async(out, nram, 8, NRAM2GDRAM);
      __memcpy_async(nram + 64, out + 4, 8, GDRAM2NRAM);
      __sync();"""),
    "left_under_way": ("are under way when the kernel ends", """
      __memcpy_async(nram, in, 8, GDRAM2NRAM);"""),
    "odd_vector": ("no multiple of 128", """
      __bang_write_value(reinterpret_cast<int*>(nram + 64), 32, 0);"""),
    "short_vector": ("of 64 bytes, which is no multiple of 128", """
      __bang_write_value(reinterpret_cast<int*>(nram), 16, 0);"""),
    "vector_elsewhere": ("outside of NRAM", """
      __bang_write_value(reinterpret_cast<int*>(shared), 32, 0);"""),
    "same_byte": ("both write", """
      __memcpy(nram, in, 16, GDRAM2NRAM);
      __memcpy(out + 15 * taskId, nram, 16, NRAM2GDRAM);"""),
    "read_behind": ("one writes what the other reads", """
      __memcpy(nram, out + (taskId == 0 ? 0 : 40), 16, GDRAM2NRAM);
      __memcpy(out + (taskId == 0 ? 32 : 96), nram, 16, NRAM2GDRAM);"""),
    "neighbours": ("", """
      __memcpy(nram, in + 5 * taskId, 16, GDRAM2NRAM);
      __memcpy(out + 16 * taskId, nram, 16, NRAM2GDRAM);"""),
    "cluster_of_a_block": ("__sync_cluster in a Block launch", "__sync_cluster();"),
    "through_shared": ("", """
      __memcpy(nram, in + 64 * coreId, 64, GDRAM2NRAM);
      __memcpy(shared + 64 * coreId, nram, 64, NRAM2SRAM);
      __sync_cluster();
      __memcpy(nram, shared + 64 * ((coreId + 1) % coreDim), 64, SRAM2NRAM);
      __memcpy(out + 64 * coreId, nram, 64, NRAM2GDRAM);"""),
    "shared_not_met": ("cores .* race", """
      __memcpy(nram, in + 64 * coreId, 64, GDRAM2NRAM);
      __memcpy(shared + 64 * coreId, nram, 64, NRAM2SRAM);
      __memcpy(nram, shared + 64 * ((coreId + 1) % coreDim), 64, SRAM2NRAM);
      __memcpy(out + 64 * coreId, nram, 64, NRAM2GDRAM);"""),
    "one_is_missed": ("waits for a core of the cluster that has ended", """
      if (coreId != 2) __sync_cluster();"""),
    "met_under_way": ("__sync_cluster with asynchronous copies under way", """
      __memcpy_async(nram, in, 64, GDRAM2NRAM);
      __sync_cluster();"""),
}  # fmt: skip

CLUSTERS = ("through_shared", "shared_not_met", "one_is_missed", "met_under_way")
PAIRS = ("same_byte", "read_behind", "neighbours")


@pytest.fixture(scope="module")
def planted(builder, tmp_path_factory):
    path = tmp_path_factory.mktemp("planted") / "planted.mlu"
    bodies = (f"KERNEL({n}) {{ (void)in; (void)out; {b} }}\n" for n, (_, b) in KERNELS.items())
    path.write_text(BEGIN + "".join(bodies))
    return builder.library(path, whole=False)


class Dim(ctypes.Structure):
    _fields_ = [("x", ctypes.c_uint), ("y", ctypes.c_uint), ("z", ctypes.c_uint)]


def launch(library, name, given, made, *, tasks=1, cluster=1, nram=NRAM_BYTES):
    entry = getattr(library, f"launch_{name}")
    entry.argtypes = [ctypes.c_void_p, Dim, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p]
    assert entry(None, Dim(tasks, 1, 1), cluster, given.ctypes.data, made.ctypes.data) == 0
    words, count = (ctypes.c_uint64 * 64)(), ctypes.c_size_t()
    library.packed.restype = ctypes.c_void_p
    kernel = library.packed(words, ctypes.byref(count))
    memory = [(given.ctypes.data, 256, False), (made.ctypes.data, 256, True)]
    copy_harness.run_kernel(
        library, kernel, words[: count.value], memory, local=nram, cores=tasks, cluster=cluster
    )


@pytest.mark.parametrize("name", KERNELS)
def test_a_rule(planted, name):
    wrong, _ = KERNELS[name]
    given, made = np.arange(256, dtype=np.uint8), np.full(256, 7, np.uint8)
    tasks = 4 if name in CLUSTERS else 2 if name in PAIRS else 1
    options = {"tasks": tasks, "cluster": 4 if name in CLUSTERS else 1}
    for _ in range(5):  # of different seeds
        made[:] = 7
        if wrong:
            with pytest.raises(copy_harness.KernelFault, match=wrong):
                launch(planted, name, given, made, **options)
            continue
        launch(planted, name, given, made, **options)
        assert np.array_equal(made, expected(name, given))


def expected(name, given):
    made = np.full(256, 7, np.uint8)
    if name == "right":
        made = given.copy()
    elif name == "rows":
        for i in range(4):
            made[6 * i : 6 * i + 3] = given[80 * i : 80 * i + 3]
    elif name == "within_nram":
        made[:100] = given[:100]
    elif name == "by_scalars":
        made[:16] = given[:16] + 1
    elif name == "by_vectors":
        made[:128] = 1
    elif name == "neighbours":
        made[:16], made[16:32] = given[:16], given[5:21]
    else:
        made = np.roll(given, -64)
    return made


@pytest.mark.parametrize(
    ("nram", "ends"), [(131072 + 2048, ""), (131072 + 2047, "of __nram__, of the 2047")]
)
def test_nram_is_what_the_stack_leaves(planted, nram, ends):
    given, made = np.arange(256, dtype=np.uint8), np.zeros(256, np.uint8)
    if ends:
        with pytest.raises(copy_harness.KernelFault, match=ends):
            launch(planted, "right", given, made, nram=nram)
    else:
        launch(planted, "right", given, made, nram=nram)


def test_clusters_are_whole(planted):
    given, made = np.arange(256, dtype=np.uint8), np.zeros(256, np.uint8)
    with pytest.raises(copy_harness.KernelFault, match="no multiple of the 4 of a cluster"):
        launch(planted, "through_shared", given, made, tasks=6, cluster=4)
