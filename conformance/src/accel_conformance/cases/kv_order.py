"""Stream order: KV work runs where and when it was queued, on what it was given then."""

from __future__ import annotations

import dataclasses
import gc
import itertools
from collections.abc import Callable

import pytest
import torch

from accel import Backend, Capability
from accel.providers import Stream
from accel_conformance.byte_compare import random_bytes
from accel_conformance.case import case
from accel_conformance.gates import Gates
from accel_conformance.kv_expected import Expectation, blocks_to_tokens
from accel_conformance.kv_inputs import LabelledCache
from accel_conformance.kv_shapes import SMALL
from accel_conformance.kv_work import KVWork, expect_write, kv_work

kv = kv_work

STREAMS = [Capability.STREAMS, Capability.COPY]
ORDER = [*STREAMS, Capability.KV_TRANSFER]
FLAT = dataclasses.replace(SMALL, blocks=SMALL.slots, block_size=1)


class _Call:
    """One KV call that reads ``src`` and writes ``dst``, and what it means.

    ``run`` queues it; ``indices`` are its index tensors; ``expect`` tells an Expectation.
    """

    def __init__(self, kv: KVWork, kind: str) -> None:
        self.kind = kind
        self.src = kv.make("vllm_nhd", SMALL)
        self.dst = self.src
        self._kernels = kv.backend.kv
        self._block_size = SMALL.block_size
        if kind in ("transfer", "transfer-blocks", "swap_blocks"):
            self.dst = kv.make("vllm_hnd", SMALL)
        if kind == "gather":
            self.dst = kv.make("contiguous", FLAT)
        units = SMALL.slots if kind in ("transfer", "write") else SMALL.blocks
        self.pairs = kv.pairs(units, units, padding=False)
        if kind == "copy_blocks":
            self.pairs = [(3, 0), (4, 1)]
        self.new: list[torch.Tensor] = []
        columns = zip(*self.pairs, strict=True)
        if kind in ("transfer", "transfer-blocks"):
            self.indices = [kv.indices(column) for column in columns]
        elif kind == "write":
            self.slots = [d for _, d in self.pairs]
            self.indices = [kv.indices(self.slots)]
            extents = (SMALL.heads, SMALL.head_dim)
            self.new = [kv.rows(len(self.slots), extents, torch.bfloat16) for _ in range(2)]
        elif kind == "gather":
            self.indices = [torch.tensor(v) for v in ([[4, 1], [0, 3]], [5, 3], [2, 4])]
        else:
            self.indices = [kv.indices(self.pairs)]

    def inputs(self) -> list[torch.Tensor]:
        """The memory that it reads."""
        return self.new or [a.raw for a in self.src.arenas]

    def run(self, stream: Stream | None = None) -> None:
        """Make the call."""
        kernels, src, dst, at = self._kernels, self.src.cache, self.dst.cache, self.indices
        if self.kind == "transfer":
            kernels.transfer(src, dst, *at, stream=stream)
        elif self.kind == "transfer-blocks":
            kernels.transfer(src, dst, *at, grain="block", stream=stream)
        elif self.kind == "write":
            kernels.write(dst, 1, *self.new, *at, stream=stream)
        elif self.kind == "copy_blocks":
            kernels.copy_blocks(dst, *at, stream=stream)
        elif self.kind == "swap_blocks":
            kernels.swap_blocks(src, dst, *at, stream=stream)
        else:
            kernels.gather(src, dst, at[0], at[1], seq_starts=at[2], stream=stream)

    def expect(self, expected: Expectation) -> None:
        """What the call means, for the contents that ``expected`` holds now."""
        if self.kind == "write":
            expect_write(expected, self.dst, 1, self.new[0], self.new[1], self.slots)
        elif self.kind == "transfer":
            expected.move(self.src, self.dst, self.pairs)
        elif self.kind == "gather":
            tokens = [*range(18, 20), *range(4, 7), *range(12, 15)]
            expected.move(self.src, self.dst, [(t, i) for i, t in enumerate(tokens)])
        else:
            pairs = blocks_to_tokens(self.pairs, self._block_size)
            expected.move(self.src, self.dst, pairs)


def _kinds(*first: Capability) -> Callable[[Callable[..., None]], Callable[..., None]]:
    kinds = {
        "transfer": Capability.KV_TRANSFER,
        "transfer-blocks": Capability.KV_TRANSFER_BLOCKS,
        "write": Capability.KV_WRITE,
        "copy_blocks": Capability.KV_COPY_BLOCKS,
        "swap_blocks": Capability.KV_SWAP_BLOCKS,
        "gather": Capability.KV_GATHER,
    }
    return pytest.mark.parametrize(
        "kind",
        [pytest.param(k, marks=pytest.mark.accel_needs(*first, c)) for k, c in kinds.items()],
    )


@case(level=2, needs=STREAMS)
@_kinds()
def test_between_two_copies(kv: KVWork, backend: Backend, gate: Gates, kind: str) -> None:
    """Behind a copy that fills its input, and ahead of one that spoils it, on one stream."""
    call = _Call(kv, kind)
    inputs = call.inputs()
    final = [random_bytes(t.shape, t.dtype, kv.rng).to(t.device) for t in inputs]
    spoilt = [random_bytes(t.shape, t.dtype, kv.rng).to(t.device) for t in inputs]
    first = [t.clone() for t in inputs]
    # What the call must see is `final`: the expectation is made with it in place.
    for t, data in zip(inputs, final, strict=True):
        t.copy_(data)
    if kind == "copy_blocks":
        # Its input is its output: nothing may follow it.
        spoilt = []
    expected = Expectation(call.src, call.dst)
    call.expect(expected)
    for t, data in zip(inputs, first, strict=True):
        t.copy_(data)
    kv.settle()
    stream = backend.streams.create()
    with gate(stream):
        for t, data in zip(inputs, final, strict=True):
            backend.memcpy.copy_async(t, data, stream)
        call.run(stream)
        for t, data in zip(inputs, spoilt, strict=False):
            backend.memcpy.copy_async(t, data, stream)
        if spoilt:
            # The input, as it was when the call ran: put back for the comparison.
            for t, data in zip(inputs, final, strict=True):
                backend.memcpy.copy_async(t, data, stream)
    stream.synchronize()
    expected.check()


@case(level=2, needs=STREAMS)
@_kinds()
def test_host_indices_are_read_at_the_call(
    kv: KVWork, backend: Backend, gate: Gates, kind: str
) -> None:
    """Index tensors on the host may be overwritten as soon as the call has returned."""
    call = _Call(kv, kind)
    expected = Expectation(call.src, call.dst)
    call.expect(expected)
    stream = backend.streams.create()
    with gate(stream):
        call.run(stream)
        for t in call.indices:
            t.fill_(0)
    stream.synchronize()
    expected.check()


@case(level=2, needs=STREAMS)
@_kinds()
def test_inputs_are_kept_alive(kv: KVWork, backend: Backend, gate: Gates, kind: str) -> None:
    """Caches, keys and indices dropped while the work is queued are not reused before it ran."""
    call = _Call(kv, kind)
    dst = call.dst
    expected = Expectation(call.src, dst)
    call.expect(expected)
    expected = expected.of(dst)
    sizes = [(t.numel(), t.dtype) for t in [*call.inputs(), *call.indices]]
    stream = backend.streams.create()
    with gate(stream):
        call.run(stream)
        del call
        gc.collect()
        # Whoever allocates now must not get memory that queued work still reads.
        scribble = [
            torch.full((n,), 1, dtype=dtype, device=backend.device)
            for n, dtype in sizes
            for _ in range(4)
        ]
    stream.synchronize()
    expected.check()
    del scribble


@case(level=2, needs=STREAMS)
@_kinds()
def test_caches_dropped_altogether(kv: KVWork, backend: Backend, gate: Gates, kind: str) -> None:
    """Nobody holds source, destination or indices any more: the work still has memory to run on."""
    stream = backend.streams.create()
    call = _Call(kv, kind)
    with gate(stream):
        call.run(stream)
        del call
        gc.collect()
    stream.synchronize()


@case(level=2, needs=[*STREAMS, Capability.STREAM_GRAPHS])
@pytest.mark.parametrize("held", [True, False], ids=["held", "dropped"])
@_kinds()
def test_captured(kv: KVWork, backend: Backend, kind: str, held: bool) -> None:
    """A captured call runs at each replay on what its inputs hold then; the graph holds indices."""
    call = _Call(kv, kind)
    inputs, caches = call.inputs(), (call.src, call.dst)
    final = [random_bytes(t.shape, t.dtype, kv.rng).to(t.device) for t in inputs]
    first = [t.clone() for t in inputs]
    for t, data in zip(inputs, final, strict=True):
        t.copy_(data)
    expected = Expectation(*caches)
    call.expect(expected)
    for t, data in zip(inputs, first, strict=True):
        t.copy_(data)
    kv.settle()
    stream = backend.streams.create()
    with backend.streams.capture(stream) as graph:
        call.run()
    for t in call.indices:
        t.fill_(0)
    if not held:
        call = None  # type: ignore[assignment]
        gc.collect()
    for t, data in zip(inputs, final, strict=True):
        t.copy_(data)
    kv.settle()
    graph.replay(stream)
    if kind not in ("copy_blocks", "swap_blocks"):  # a second time changes nothing
        graph.replay(stream)
    stream.synchronize()
    expected.check()


@case(level=2, needs=STREAMS)
@pytest.mark.parametrize("which", ["default", "created"])
@_kinds()
def test_current_stream(kv: KVWork, backend: Backend, kind: str, which: str) -> None:
    """Without a stream the call goes to the current one, between eager torch operations."""
    call = _Call(kv, kind)
    inputs = call.inputs()
    final = [random_bytes(t.shape, t.dtype, kv.rng).to(t.device) for t in inputs]
    first = [t.clone() for t in inputs]
    for t, data in zip(inputs, final, strict=True):
        t.copy_(data)
    expected = Expectation(call.src, call.dst)
    call.expect(expected)
    for t, data in zip(inputs, first, strict=True):
        t.copy_(data)
    kv.settle()
    streams = backend.streams
    stream = streams.default() if which == "default" else streams.create()
    with backend.stream(stream):
        for t, data in zip(inputs, final, strict=True):
            t.copy_(data)
        call.run()
        if kind != "copy_blocks":  # its input is its output
            for contents in (first, final):
                for t, new in zip(inputs, contents, strict=True):
                    t.copy_(new)
    stream.synchronize()
    expected.check()


@case(level=2, needs=[*ORDER, Capability.EVENTS])
@pytest.mark.parametrize("by", ["event", "stream"])
def test_two_streams(kv: KVWork, backend: Backend, gate: Gates, by: str) -> None:
    """Transfers in turn on two streams, ordered by events, or by wait_stream."""
    layouts = ("vllm_nhd", "vllm_hnd", "contiguous", "sglang_page_head")
    chain = [kv.make(name, SMALL) for name in layouts * 2]
    start = chain[0].arenas[0].raw
    old, new = start.clone(), random_bytes(start.shape, start.dtype, kv.rng).to(start.device)
    start.copy_(new)
    expected = Expectation(*chain)
    start.copy_(old)
    kv.settle()
    streams = [backend.streams.create() for _ in range(2)]
    with gate(streams[0]):
        backend.memcpy.copy_async(start, new, streams[0])
        for i, (a, b) in enumerate(itertools.pairwise(chain)):
            pairs = kv.pairs(SMALL.slots, SMALL.slots)
            expected.move(a, b, pairs)
            here, there = streams[i % 2], streams[(i + 1) % 2]
            kv.call_transfer(a, b, pairs, stream=here)
            if by == "event":
                there.wait_event(here.record_event())
            else:
                there.wait_stream(here)
    for stream in streams:
        stream.synchronize()
    expected.check()


@case(level=2, needs=ORDER)
def test_host_reads_after_synchronize(kv: KVWork, backend: Backend) -> None:
    """``synchronize`` alone makes a transfer into host memory visible, many times over."""
    src = kv.make("vllm_nhd", SMALL)
    dst: LabelledCache = kv.make("lmcache_object", SMALL, memory="host")
    stream = backend.streams.create()
    for _ in range(20):
        pairs = kv.pairs(SMALL.slots, SMALL.slots)
        expected = Expectation(src, dst)
        expected.move(src, dst, pairs)
        kv.call_transfer(src, dst, pairs, stream=stream)
        stream.synchronize()
        expected.check()


@case(level=2, needs=ORDER)
def test_refused_while_the_stream_is_held(kv: KVWork, backend: Backend, gate: Gates) -> None:
    """A wrong call raises at once, whatever the stream is doing, and the stream stays usable."""
    from accel.errors import SlotError

    src, dst = kv.make("vllm_nhd", SMALL), kv.make("vllm_hnd", SMALL)
    pairs = kv.pairs(SMALL.slots, SMALL.slots)
    expected = Expectation(src, dst)
    expected.move(src, dst, pairs)
    stream = backend.streams.create()
    with gate(stream):
        with pytest.raises(SlotError):
            kv.call_transfer(src, dst, [(0, 0), (1, SMALL.slots)], stream=stream)
        kv.call_transfer(src, dst, pairs, stream=stream)
        with pytest.raises(SlotError):
            kv.call_transfer(src, dst, [(2, 2), (SMALL.slots, 1)], stream=stream)
    stream.synchronize()
    expected.check()
