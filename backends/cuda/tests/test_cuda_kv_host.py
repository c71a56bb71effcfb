"""Transfers between the device and the host, on a driver that is threads and host memory.

The kernels are the package's own sources, compiled for the CPU; streams run late and in any order
that nothing forbids. Everything is compared with loops over tokens.
"""

from __future__ import annotations

import ctypes
import mmap
import random
import threading
from types import SimpleNamespace

import pytest
import torch
from cuda_shim import harness

from accel.errors import DeviceError, FreedError, OverlapError, ShapeError, SlotError
from accel.kv import KVCache
from accel.kv.overlap import sharing
from accel.kv.plan import plan_transfer

native = pytest.importorskip("accel_cuda._native", reason="accel-cuda's native part is not built")

FILES = {
    "kv_copy.cu": [
        *(f"kv_copy_{how}_{n}" for how in ("rows", "turned") for n in (1, 2, 4, 8, 16)),
        "kv_copy_rows_16_few",
    ],
    "kv_gather.cu": ["kv_gather_slots", "kv_upload"],
}
DEFAULTS = native.kv.host_policy()
KERNEL = ctypes.CFUNCTYPE(
    None, ctypes.POINTER(ctypes.c_uint), ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p
)


@pytest.fixture(scope="module")
def kernel_functions(_opened, tmp_path_factory):
    """The package's kernels, given to the driver under their names; handles by name."""
    if harness.compiler() is None:
        pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")
    builder = harness.ShimBuilder(harness.shared_folder(tmp_path_factory))
    fake = ctypes.CDLL(str(_opened.path))
    kept, failures = [], []
    one_kernel = threading.Lock()  # what stands for the device runs one at a time

    def register(library, name):
        size = library.args_bytes(name)

        def run(grid, block, shared_bytes, args):
            try:
                extents = (grid[0], grid[1], grid[2])
                content = ctypes.string_at(args, size)
                with one_kernel:
                    library.launch(
                        name, content, grid=extents, block=block, shared_bytes=shared_bytes
                    )
            except BaseException as error:
                failures.append(error)

        kept.append(KERNEL(run))
        fake.accel_fake_kernel(name.encode(), kept[-1], ctypes.c_size_t(size))

    for file, names in FILES.items():
        library = builder.library(file)
        for name in names:
            register(library, name)
    module = native.load_module(0, b"any")
    functions = {n: native.function(module, n, 0) for names in FILES.values() for n in names}
    return SimpleNamespace(functions=functions, kept=kept, failures=failures)


@pytest.fixture
def movement(kernel_functions, backend, driver):
    """``native.kv.Kernels`` of fake device 0, and what checks it. ``pin(cache)`` makes a cache in
    host memory one that the device reaches."""
    kernel_functions.failures.clear()
    kernels = native.kv.Kernels(0, kernel_functions.functions, 0.5)
    fake, pinned, placed = ctypes.CDLL(str(driver.path)), [], []

    def pin(cache):
        for t in cache.tensors:
            storage = t.untyped_storage()
            address = ctypes.c_void_p(storage.data_ptr())
            assert fake.cuMemHostRegister_v2(address, ctypes.c_size_t(storage.nbytes()), 0) == 0
            pinned.append((cache, address))
        return cache

    def place(cache):
        """A cache like this one, with the same contents, in the device's memory."""
        tensors = []
        for t in cache.tensors:
            nbytes, address = t.numel() * t.element_size(), ctypes.c_uint64()
            assert fake.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(nbytes)) == 0
            placed.append(address)
            memory = (ctypes.c_uint8 * nbytes).from_address(address.value)
            tensors.append(torch.frombuffer(memory, dtype=t.dtype).view(t.shape))
            tensors[-1].copy_(t)
        outer = cache.layout.partition("|")[0].split()
        return KVCache(tensors if outer else tensors[0], cache.layout)

    def unpin():
        for _, address in pinned:
            assert fake.cuMemHostUnregister(address) == 0
        pinned.clear()

    given = {"pin": pin, "unpin": unpin, "place": place}
    yield SimpleNamespace(kernels=kernels, streams=backend.streams, **given)
    native.synchronize_device(0)
    unpin()
    for address in placed:
        assert fake.cuMemFree_v2(address) == 0
    native.kv.set_host_policy(**DEFAULTS)
    assert not kernel_functions.failures


def make(layout, blocks, *, size=4, heads=2, head_dim=8, layers=3):
    cache = KVCache.allocate(
        layout, layers=layers, blocks=blocks, block_size=size, heads=heads, head_dim=head_dim,
        dtype=torch.bfloat16,
    )  # fmt: skip
    for t in cache.tensors:
        t.view(torch.int16).random_(-32768, 32767)
    return cache


def prepare(movement, src, dst, *, hosts=(False, True), grain="token"):
    plan = plan_transfer(src.geometry, dst.geometry, grain)
    return native.kv.Pair(
        movement.kernels, *hosts, plan.layers, plan.pack(), list(src.pointers), list(dst.pointers),
        list(src.tensor_pointers), list(dst.tensor_pointers), plan.src_units, plan.dst_units,
        sharing(src, dst),
    )  # fmt: skip


def tokens_of(cache):
    return [
        [v.reshape(cache.slots, -1).contiguous().view(torch.int16).clone() for v in row]
        for row in cache.views
    ]


def expect(src, dst, pairs):
    before, after = tokens_of(src), tokens_of(dst)
    for s, d in pairs:
        if s < 0 or d < 0:
            continue
        for layer in range(src.layers):
            for plane in range(src.planes):
                after[layer][plane][d] = before[layer][plane][s]
    return after


def compare(cache, expected):
    for layer, row in enumerate(tokens_of(cache)):
        for plane, found in enumerate(row):
            assert torch.equal(found, expected[layer][plane]), (layer, plane)


def pairs_for(src, dst, kind):
    """Token pairs: whole blocks at random, some tokens at random, or with padding."""
    size = src.block_size
    if kind == "blocks":
        count = min(src.blocks, dst.slots // size)
        pages = random.sample(range(src.blocks), count)
        return [(p * size + i, n * size + i) for n, p in enumerate(pages) for i in range(size)]
    count = min(src.slots, dst.slots) * 2 // 3
    pairs = list(
        zip(random.sample(range(src.slots), count), random.sample(range(dst.slots), count),
            strict=True)
    )  # fmt: skip
    if kind == "padded":
        pairs[1], pairs[2] = (-1, pairs[1][1]), (pairs[2][0], -3)
    return pairs


LONG = 1 << 50
WAYS = {
    "direct": {"batched_bytes": LONG, "staged_bytes": LONG},
    "batched": {"batched_bytes": 1, "batched_run_bytes": 1},
    "staged": {"batched_bytes": LONG, "staged_bytes": 1, "stretch_bytes": 1, "out_stretch_bytes": 1,
               "first_bytes": 300, "most_bytes": 1000, "single_stretch_bytes": 1},
}  # fmt: skip
HOST_LAYOUTS = ["| K L T H D", "K L | T H D", "K | T L H D", "| T L K H D", "L | K B S H D",
                "| B L K S H D"]  # fmt: skip


@pytest.mark.parametrize("kind", ["blocks", "tokens", "padded"])
@pytest.mark.parametrize("host", HOST_LAYOUTS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("to_host", [True, False], ids=["to-host", "from-host"])
def test_every_way(movement, way, host, kind, to_host):
    native.kv.set_host_policy(**WAYS[way])
    device, other = movement.place(make("L | K B S H D", 9)), movement.pin(make(host, 11))
    src, dst = (device, other) if to_host else (other, device)
    pairs = pairs_for(device, other, kind)
    if not to_host:
        pairs = [(b, a) for a, b in pairs]
    expected = expect(src, dst, pairs)
    before = native.kv.host_counts()
    pair = prepare(movement, src, dst, hosts=(not to_host, to_host))
    slots = [torch.tensor(x) for x in zip(*pairs, strict=True)]
    streams = [movement.streams.default(), movement.streams.create()]
    stream = random.choice(streams)
    for _ in range(2):  # staging memory is used again
        native.kv.transfer(pair, src, dst, *slots, stream)
    stream.synchronize()
    compare(dst, expected)
    after = native.kv.host_counts()
    took = {name for name in ("direct", "batched", "staged") if after[name] > before[name]}
    # A host side whose tokens are not contiguous cannot be staged.
    assert took == {way} or (way == "staged" and took == {"direct"})


def test_many_copies_start_with_few(movement, driver):
    """No copy of a driver's call starts before all are taken in: first a few, then ever more."""
    native.kv.set_host_policy(**WAYS["batched"])
    device, host = make("L | K B S H D", 40), make("L | K B S H D", 40)
    device, host = movement.place(device), movement.pin(host)
    pair, stream = prepare(movement, device, host), movement.streams.create()
    pairs = [(b * 4 + i, (39 - b) * 4 + i) for b in range(40) for i in range(4)]  # none join
    expected = expect(device, host, pairs)
    before, calls = native.kv.host_counts()["copies"], driver.calls("cuMemcpyBatchAsync")
    slots = [torch.tensor(x) for x in zip(*pairs, strict=True)]
    native.kv.transfer(pair, device, host, *slots, stream)
    stream.synchronize()
    compare(host, expected)
    assert native.kv.host_counts()["copies"] == before + 240
    assert driver.calls("cuMemcpyBatchAsync") == calls + 4  # of 32, 64, 128 and the rest


def test_staging_is_ordered_with_what_comes_before_and_after(movement):
    """Many transfers both ways on two streams, each reading what the one before wrote."""
    native.kv.set_host_policy(**WAYS["staged"])
    device = movement.place(make("L | K B S H D", 6))
    hosts = [movement.pin(make("| K L T H D", 6)) for _ in range(2)]
    everything = torch.arange(device.slots)
    out = [prepare(movement, device, h) for h in hosts]
    back = [prepare(movement, h, device, hosts=(True, False)) for h in hosts]
    streams = [movement.streams.create() for _ in range(2)]
    expected = tokens_of(device)
    for turn in range(8):
        here, there = streams[turn % 2], streams[1 - turn % 2]
        host = hosts[turn % 2]
        moved = everything.roll(turn)
        native.kv.transfer(out[turn % 2], device, host, moved, everything, here)
        native.kv.transfer(back[turn % 2], host, device, everything, everything, here)
        for row in expected:
            for plane, tokens in enumerate(row):
                row[plane] = tokens.roll(turn, 0)
        there.wait_stream(here)
    for stream in streams:
        stream.synchronize()
    compare(device, expected)


@pytest.mark.parametrize("to_host", [True, False], ids=["to-host", "from-host"])
@pytest.mark.parametrize("host", HOST_LAYOUTS)
def test_no_piece_is_long_beside_what_hides_it(host, to_host):
    """A kernel packs a piece while those before it are copied, `growth` times as fast."""
    device, other = make("L | K B S H D", 9), make(host, 9)
    src, dst = (device, other) if to_host else (other, device)
    plan = plan_transfer(src.geometry, dst.geometry, "token")
    slots, growth = list(range(36)), 4
    token = 2 * 8 * 2  # bytes of a plane, the least that a piece has
    unit = 6 * token  # of all planes of all layers, where the host keeps them together
    whole = 36 * unit
    for first in (40, 100, 500, 576, 1000, 1200, 5000):
        for most in (first, 3000, whole):
            pieces = native.kv.describe_pieces(
                plan.layers, plan.pack(), list(src.pointers), list(dst.pointers), to_host, slots,
                first, most, growth,
            )  # fmt: skip
            assert sum(pieces) == whole
            if not to_host:
                pieces.reverse()
            for i, size in enumerate(pieces):
                assert size <= max(unit, min(most, max(first, growth * sum(pieces[:i]))))


@pytest.mark.parametrize("misplaced", [0, 4], ids=["aligned", "misaligned"])
@pytest.mark.parametrize("to_host", [True, False], ids=["to-host", "from-host"])
def test_the_end_that_nothing_hides_goes_directly(movement, to_host, misplaced):
    """Not where the kernel that was chosen for staging memory could not read the host's."""
    native.kv.set_host_policy(**WAYS["staged"])
    shape, count = (2, 3, 36, 2, 8), 2 * 3 * 36 * 2 * 8
    device = movement.place(make("L | K B S H D", 9))
    room = torch.empty(count + misplaced + 8, dtype=torch.bfloat16)
    first = -room.data_ptr() // 2 % 8 + misplaced  # elements, from an address of whole vectors
    host = movement.pin(KVCache(room[first : first + count].view(shape), "| K L T H D"))
    host.tensors[0].view(torch.int16).random_(-32768, 32767)
    src, dst = (device, host) if to_host else (host, device)
    pair = prepare(movement, src, dst, hosts=(not to_host, to_host))
    scattered, everything = torch.randperm(36), torch.arange(36)
    slots = (scattered, everything) if to_host else (everything, scattered)
    expected = expect(src, dst, list(zip(*(s.tolist() for s in slots), strict=True)))
    stream, before = movement.streams.create(), native.kv.host_counts()
    native.kv.transfer(pair, src, dst, *slots, stream)
    stream.synchronize()
    compare(dst, expected)
    after = native.kv.host_counts()
    assert after["staged"] == before["staged"] + 1
    assert after["ends"] - before["ends"] == (0 if misplaced else 1)


@pytest.mark.parametrize("to_host", [True, False], ids=["to-host", "from-host"])
def test_staged_copies_stay_within_an_allocation(movement, to_host):
    """Neighbours in host memory that were pinned one by one: a driver refuses to copy across."""
    native.kv.set_host_policy(**{**WAYS["staged"], "first_bytes": LONG, "most_bytes": LONG})
    nbytes, layers = 4096, 3
    memory = mmap.mmap(-1, layers * nbytes)
    neighbours = [
        torch.frombuffer(memory, dtype=torch.bfloat16, count=nbytes // 2, offset=i * nbytes)
        .view(2, 16, 4, 2, 8)
        for i in range(layers)
    ]  # fmt: skip
    device = movement.place(make("L | K B S H D", 16))
    host = movement.pin(KVCache(neighbours, "L | K B S H D"))
    src, dst = (device, host) if to_host else (host, device)
    pair = prepare(movement, src, dst, hosts=(not to_host, to_host))
    scattered, everything = torch.randperm(64), torch.arange(64)
    slots = (scattered, everything) if to_host else (everything, scattered)
    expected = expect(src, dst, list(zip(*(s.tolist() for s in slots), strict=True)))
    stream = movement.streams.create()
    before = native.kv.host_counts()["staged"]
    native.kv.transfer(pair, src, dst, *slots, stream)
    stream.synchronize()
    compare(dst, expected)
    assert native.kv.host_counts()["staged"] == before + 1


@pytest.mark.parametrize("grain", ["token", "block"])
def test_on_the_device(movement, grain):
    """Lists of every length: in the arguments, and through pinned memory."""
    for count in (1, 3, 200):
        src, dst = (
            movement.place(make(layout, blocks, layers=2))
            for layout, blocks in (("L | K B S H D", 80), ("L | K B H S D", 90))
        )
        pair = prepare(movement, src, dst, hosts=(False, False), grain=grain)
        units = 80 if grain == "block" else 320
        chosen = min(count, units)
        s = torch.randperm(units)[:chosen]
        d = torch.randperm(units)[:chosen].int()
        unit = 4 if grain == "block" else 1
        pairs = [
            (int(a) * unit + i, int(b) * unit + i)
            for a, b in zip(s, d, strict=True)
            for i in range(unit)
        ]
        expected = expect(src, dst, pairs)
        stream = movement.streams.create()
        native.kv.transfer(pair, src, dst, s, d, stream)
        stream.synchronize()
        compare(dst, expected)


def test_a_launch_that_fails_leaves_the_next_one_well(movement, driver):
    native.kv.set_host_policy(**WAYS["staged"])
    src, dst = movement.place(make("L | K B S H D", 6)), movement.pin(make("| K L T H D", 6))
    pair, everything = prepare(movement, src, dst), torch.arange(24)
    stream = movement.streams.create()
    driver.fail("cuLaunchKernel", 1)
    with pytest.raises(Exception, match="cuLaunchKernel"):
        native.kv.transfer(pair, src, dst, everything, everything, stream)
    expected = expect(src, dst, [(i, i) for i in range(24)])
    native.kv.transfer(pair, src, dst, everything, everything, stream)
    stream.synchronize()
    compare(dst, expected)


def test_what_is_wrong_is_refused_before_anything_is_written(movement):
    src, dst = make("L | K B S H D", 3), movement.pin(make("| K L T H D", 3))
    pair, stream = prepare(movement, src, dst), movement.streams.create()
    unchanged = tokens_of(dst)

    def call(s, d):
        native.kv.transfer(pair, src, dst, torch.tensor(s), torch.tensor(d), stream)

    with pytest.raises(SlotError, match="src_slots"):
        call([0, 12], [0, 1])
    with pytest.raises(SlotError, match="dst_slots"):
        call([0, 1], [0, 99])
    with pytest.raises(OverlapError, match="dst_slots"):
        call([0, 1], [5, 5])
    with pytest.raises(ShapeError, match="dst_slots"):
        call([0, 1], [5])
    src.tensors[1].untyped_storage().resize_(0)
    with pytest.raises(FreedError, match="src"):
        call([0], [1])
    call_nothing = torch.empty(0, dtype=torch.int64)
    with pytest.raises(FreedError):
        native.kv.transfer(pair, src, dst, call_nothing, call_nothing, stream)
    stream.synchronize()
    compare(dst, unchanged)


def test_where_tensors_lie_is_known_of_this_torch():
    assert native.kv.knows_tensor_words()


def other_place(t):
    start = t.storage_offset() + t.numel()
    t.set_(t.untyped_storage(), start, t.size(), t.stride())


MOVES = {
    "emptied": lambda t: t.untyped_storage().resize_(0),
    "grown": lambda t: t.untyped_storage().resize_(2 * t.untyped_storage().nbytes()),
    "other storage": lambda t: t.set_(torch.zeros_like(t)),
    "other place of its storage": other_place,
    "other data": lambda t: setattr(t, "data", torch.zeros_like(t)),
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("table", [True, False], ids=["by-words", "by-attributes"])
def test_a_tensor_that_moved_is_found_out(movement, table, move):
    """However often it was where it should be before."""
    room = [torch.zeros(2, 2, 3, 4, 2, 8, dtype=torch.bfloat16) for _ in range(3)]
    src = KVCache([whole[0] for whole in room], "L | K B S H D")
    dst = movement.pin(make("| K L T H D", 3))
    pair, stream = prepare(movement, src, dst), movement.streams.create()
    everything = torch.arange(12)
    before = native.coding.use_exchange_table(table)
    try:
        for _ in range(3):
            native.kv.transfer(pair, src, dst, everything, everything, stream)
        stream.synchronize()
        compare(dst, tokens_of(src))
        for whole in room:
            whole.fill_(1)
        unchanged = tokens_of(dst)
        MOVES[move](src.tensors[1])
        with pytest.raises(FreedError, match="tensor 1"):
            native.kv.transfer(pair, src, dst, everything, everything, stream)
        stream.synchronize()
        compare(dst, unchanged)
    finally:
        native.coding.use_exchange_table(before)


def test_memory_that_was_unregistered_is_not_touched(movement):
    src, dst = make("L | K B S H D", 3), movement.pin(make("| K L T H D", 3))
    pair, stream = prepare(movement, src, dst), movement.streams.create()
    everything = torch.arange(12)
    native.kv.transfer(pair, src, dst, everything, everything, stream)
    stream.synchronize()
    movement.unpin()
    assert native.kv.mapped_address(0, dst.pointers[0], 1) == 0
    with pytest.raises(DeviceError, match="dst"):
        native.kv.transfer(pair, src, dst, everything, everything, stream)


def test_one_launch_for_all_layers(movement, driver):
    src, dst = make("L | K B S H D", 3, layers=40), make("| K L T H D", 3, layers=40)
    pair, stream = prepare(movement, src, dst, hosts=(False, False)), movement.streams.create()
    slots = torch.arange(12)
    native.kv.transfer(pair, src, dst, slots, slots, stream)
    before = driver.calls("cuLaunchKernel"), driver.calls("cuMemcpyHtoDAsync_v2")
    native.kv.transfer(pair, src, dst, slots, slots, stream)
    stream.synchronize()
    after = driver.calls("cuLaunchKernel"), driver.calls("cuMemcpyHtoDAsync_v2")
    assert (after[0] - before[0], after[1] - before[1]) == (1, 0)
