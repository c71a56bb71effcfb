"""KV work on streams: order, what is read at the call, and what is kept alive until it ran."""

import gc
import threading
import weakref

import pytest
import torch

import accel
from accel.kv import KVCache


@pytest.fixture
def backend(backend_name):
    return accel.get_backend(backend_name)


def cache(layout="vllm_nhd", fill=0, blocks=8):
    made = KVCache.allocate(
        layout, layers=3, blocks=blocks, block_size=4, heads=2, head_dim=8, dtype=torch.int32
    )
    for i, tensor in enumerate(made.tensors):
        tensor.copy_(torch.arange(tensor.numel()).view(tensor.shape) + 1000 * i if fill else
                     torch.zeros(()))  # fmt: skip
    return made


def plugged(backend):
    """A stream that runs nothing until the returned event is set (at once where streams are
    synchronous)."""
    stream, gate = backend.streams.create(), threading.Event()
    if backend.name == "cpu":
        stream.add_callback(lambda: gate.wait(20))
    return stream, gate


def test_order_within_a_stream(backend):
    a, b, c = cache(fill=1), cache("contiguous"), cache("vllm_hnd")
    stream, gate = plugged(backend)
    everything = torch.arange(32)
    back = everything.flip(0)
    backend.kv.transfer(a, b, everything, back, stream=stream)
    backend.kv.transfer(b, c, everything, back, stream=stream)
    if backend.name == "cpu":
        assert not any(t.any() for t in (*b.tensors, *c.tensors))
    gate.set()
    stream.synchronize()
    for layer in range(3):
        for plane in range(2):
            assert torch.equal(a.view(layer, plane), c.view(layer, plane))


def test_all_operations_are_queued(backend):
    a, b = cache(fill=1), cache()
    stream, gate = plugged(backend)
    rows = torch.full((2, 16), 7, dtype=torch.int32)
    with_blocks = torch.tensor([[0, 1]])
    backend.kv.swap_blocks(a, b, with_blocks, stream=stream)
    backend.kv.copy_blocks(b, torch.tensor([[1, 2]]), stream=stream)
    backend.kv.gather(a, b, torch.tensor([[5]]), torch.tensor([3]), stream=stream)
    backend.kv.write(b, 1, rows, rows, torch.tensor([30, 31]), stream=stream)
    if backend.name == "cpu":
        assert not any(t.any() for t in b.tensors)
    gate.set()
    stream.synchronize()
    for layer, (source, target) in enumerate(zip(a.tensors, b.tensors, strict=True)):
        assert torch.equal(target[:, 1], source[:, 0])
        assert torch.equal(target[:, 2], source[:, 0])
        assert torch.equal(target[:, 0, :3], source[:, 5, :3])
        assert bool((target[:, 7, 2:] == 7).all()) == (layer == 1)


def test_slots_are_read_at_the_call(backend):
    a, b = cache(fill=1), cache()
    stream, gate = plugged(backend)
    src, dst = torch.tensor([3, 4]), torch.tensor([5, 6])
    table, lens = torch.tensor([[2]]), torch.tensor([2])
    mapping = torch.tensor([[7, 7]])
    backend.kv.transfer(a, b, src, dst, stream=stream)
    backend.kv.gather(a, b, table, lens, stream=stream)
    backend.kv.swap_blocks(a, b, mapping, stream=stream)
    for t in (src, dst, table, lens, mapping):
        t.fill_(0)
    gate.set()
    stream.synchronize()
    for source, target in zip(a.tensors, b.tensors, strict=True):
        assert torch.equal(target[:, 1, 1], source[:, 0, 3])
        assert torch.equal(target[:, 1, 2], source[:, 1, 0])
        assert torch.equal(target[:, 0, :2], source[:, 2, :2])
        assert torch.equal(target[:, 7], source[:, 7])


def test_caches_live_until_the_work_ran(backend):
    a, b = cache(fill=1), cache()
    expected, result = [t.clone() for t in a.tensors], list(b.tensors)
    rows = torch.full((1, 16), 9, dtype=torch.int32)
    stream, gate = plugged(backend)
    all_slots = torch.arange(32)
    backend.kv.transfer(a, b, all_slots, all_slots, stream=stream)
    backend.kv.write(b, 0, rows, rows, torch.tensor([0]), stream=stream)
    gone = [weakref.ref(a), weakref.ref(b)]
    del a, b, rows
    gc.collect()
    if backend.name == "cpu":
        assert all(ref() is not None for ref in gone)
    filler = [torch.full((3, 2, 8, 4, 2, 8), -1, dtype=torch.int32) for _ in range(4)]
    gate.set()
    stream.synchronize()
    expected[0][:, 0, 0] = 9
    assert all(torch.equal(x, y) for x, y in zip(result, expected, strict=True))
    del filler
    backend.streams.default().synchronize()
    gc.collect()
    assert all(ref() is None for ref in gone)  # and no longer


def test_prepared_pairs_do_not_keep_caches(backend):
    a, b = cache(fill=1), cache()
    slot = torch.tensor([0])
    backend.kv.transfer(a, b, slot, slot)
    backend.kv.copy_blocks(b, torch.tensor([[0, 1]]))
    rows = torch.zeros(1, 16, dtype=torch.int32)
    backend.kv.write(b, 0, rows, rows, slot)
    gone = [weakref.ref(a), weakref.ref(b)]
    del a, b
    gc.collect()
    assert all(ref() is None for ref in gone)


def test_inside_a_stream_context(backend):
    """The current stream is where calls without one go, in order with torch's own operators."""
    a, b = cache(fill=1), cache()
    stream = backend.streams.create()
    everything = torch.arange(32)
    with backend.stream(stream):
        a.tensors[0].mul_(3)
        backend.kv.transfer(a, b, everything, everything)
        assert torch.equal(b.tensors[0], a.tensors[0])
        b.tensors[0].zero_()
    stream.synchronize()
    assert not b.tensors[0].any()
    assert torch.equal(b.tensors[1], a.tensors[1])


def test_events_order_streams(backend):
    a, b, c = cache(fill=1), cache(), cache()
    first, gate = plugged(backend)
    second = backend.streams.create()
    everything = torch.arange(32)
    backend.kv.transfer(a, b, everything, everything, stream=first)
    second.wait_event(first.record_event())
    backend.kv.transfer(b, c, everything, everything, stream=second)
    gate.set()
    second.synchronize()
    assert all(torch.equal(x, y) for x, y in zip(a.tensors, c.tensors, strict=True))


def test_default_stream_is_done_on_return(backend):
    a, b = cache(fill=1, blocks=2000), cache(blocks=2000)
    slots = torch.randperm(8000, generator=torch.Generator().manual_seed(3))
    backend.kv.transfer(a, b, slots, slots)
    assert all(torch.equal(x, y) for x, y in zip(a.tensors, b.tensors, strict=True))


def test_from_many_threads(backend):
    """Concurrent first calls and large transfers: plans are shared, bitmaps are per thread."""
    a = cache(fill=1, blocks=600)
    targets = [cache(blocks=600) for _ in range(6)]
    failures = []

    def work(i):
        try:
            slots = torch.randperm(2400, generator=torch.Generator().manual_seed(i))
            for _ in range(5):
                backend.kv.transfer(a, targets[i], slots, slots)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for target in targets:
        assert all(torch.equal(x, y) for x, y in zip(a.tensors, target.tensors, strict=True))
