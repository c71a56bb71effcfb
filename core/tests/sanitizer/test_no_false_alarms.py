"""Programs that are right, and look as if they were not."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import accel
from accel import KVCache, StreamSanitizer


@pytest.fixture
def backend() -> Iterator[accel.Backend]:
    built = accel.get_backend("cpu")
    with StreamSanitizer(built, raising=True) as sanitizer:
        yield built
        built.streams.synchronize()
        assert sanitizer.reports == []


def make(layout: str, blocks: int = 8) -> KVCache:
    return KVCache.allocate(
        layout, layers=3, blocks=blocks, block_size=4, heads=2, head_dim=16, dtype=torch.float16
    )


LAYOUTS = ("L K | B S H D", "L | K B S H D", "| B L K S H D", "L | B H S K D", "L K | T H D")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_disjoint_slots_of_one_cache_on_two_streams(backend: accel.Backend, layout: str) -> None:
    device, host = make(layout), make("L K | T H D")
    streams = [backend.streams.create() for _ in range(2)]
    for _ in range(3):
        for i, stream in enumerate(streams):
            slots = torch.arange(i, 32, 2)
            backend.kv.transfer(host, device, slots, slots, stream=stream)
            backend.kv.transfer(device, host, slots, slots, stream=stream)
    rows = torch.zeros(2, 2, 16, dtype=torch.float16)
    backend.streams.synchronize()
    for layer, stream in zip((0, 1), streams, strict=True):
        backend.kv.write(device, layer, rows, rows, torch.tensor([6, 7]), stream=stream)
        # The other stream writes the same slots of another layer.
        backend.kv.write(device, layer, rows, rows, torch.tensor([8, 9]), stream=stream)


def test_layers_of_one_allocation_interleave_without_meeting(backend: accel.Backend) -> None:
    cache = make("| B L K S H D")
    left, right = backend.streams.create(), backend.streams.create()
    other = make("L K | T H D")
    slots = torch.arange(32)
    for stream, layer in ((left, 0), (right, 2)):
        backend.kv.transfer(
            other.select_layers(layer), cache.select_layers(layer), slots, slots, stream=stream
        )


def test_padding_is_neither_read_nor_written(backend: accel.Backend) -> None:
    a, c = make(LAYOUTS[0]), make(LAYOUTS[0])
    left, right = backend.streams.create(), backend.streams.create()
    backend.kv.transfer(a, c, torch.tensor([1, 5]), torch.tensor([2, 6]), stream=left)
    backend.kv.transfer(a, c, torch.tensor([-1, 8]), torch.tensor([2, 7]), stream=right)
    rows = torch.zeros(3, 2, 16, dtype=torch.float16)
    backend.kv.write(c, 0, rows, rows, torch.tensor([-1, 9]), stream=right)


def test_index_tensors_may_be_changed_after_the_call(backend: accel.Backend) -> None:
    a, c = make(LAYOUTS[0]), make(LAYOUTS[0])
    stream = backend.streams.create()
    index = torch.arange(8)
    for _ in range(3):
        backend.kv.transfer(a, c, index, index, stream=stream)
        index.add_(8)
    mapping = torch.tensor([[0, 1]])
    backend.kv.copy_blocks(a, mapping, stream=stream)
    mapping.fill_(0)


def test_index_tensors_made_on_the_stream_that_uses_them(backend: accel.Backend) -> None:
    a, c = make(LAYOUTS[0]), make(LAYOUTS[0])
    stream = backend.streams.create()
    with backend.stream(stream):
        index = torch.arange(8) + 3
        backend.kv.transfer(a, c, index, index)
        backend.kv.upload_small(torch.zeros(8, dtype=torch.int64), index * 2)


def test_many_may_read(backend: accel.Backend) -> None:
    src = torch.zeros(1000)
    cache = make(LAYOUTS[0])
    for _ in range(4):
        stream, out = backend.streams.create(), make(LAYOUTS[1])
        backend.memcpy.copy_async(torch.zeros(1000), src, stream)
        backend.kv.transfer(cache, out, torch.arange(9), torch.arange(9), stream=stream)
        src.sum()


def test_a_ring_of_staging_buffers(backend: accel.Backend) -> None:
    """Two buffers, an event each, and the host refills one while the other is on its way."""
    stream, compute = backend.streams.create(), backend.streams.create()
    ring = [backend.pinned.empty(4096, torch.uint8) for _ in range(2)]
    device = [torch.empty(4096, dtype=torch.uint8) for _ in range(2)]
    free, used = ([backend.events.create() for _ in range(2)] for _ in range(2))
    total = torch.zeros(4096, dtype=torch.uint8)
    for step in range(20):
        i = step % 2
        free[i].synchronize()
        ring[i].fill_(step)
        stream.wait_event(used[i])
        backend.memcpy.copy_async(device[i], ring[i], stream)
        free[i].record(stream)
        compute.wait_stream(stream)
        with backend.stream(compute):
            total.add_(device[i])
        used[i].record(compute)
    compute.synchronize()
    assert int(total[0]) == sum(range(20)) % 256


def test_a_gate_that_the_host_opens(backend: accel.Backend) -> None:
    """What the host does before it lets a callback end comes before the work behind it."""
    stream, opened = backend.streams.create(), threading.Event()
    src, dst = torch.zeros(1000), torch.zeros(1000)
    stream.add_callback(lambda: opened.wait(10))
    backend.memcpy.copy_async(dst, src, stream)
    src.fill_(7)
    assert float(dst.sum()) == 0
    opened.set()
    stream.synchronize()
    assert float(dst.sum()) == 7000


def by_join(work: Callable[[], None], result: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    result()


def by_polling_is_alive(work: Callable[[], None], result: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        time.sleep(0.001)
    result()


def by_queue(work: Callable[[], None], result: Callable[[], None]) -> None:
    done: queue.Queue[int] = queue.Queue()
    threading.Thread(target=lambda: (work(), done.put(1))).start()
    done.get()
    result()


def by_event(work: Callable[[], None], result: Callable[[], None]) -> None:
    done = threading.Event()
    threading.Thread(target=lambda: (work(), done.set())).start()
    while not done.is_set():
        time.sleep(0.001)
    result()


def by_future(work: Callable[[], None], result: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: None).result()  # the thread is there already
        pool.submit(work).result()
        result()


def by_lock(work: Callable[[], None], result: Callable[[], None]) -> None:
    lock, state = threading.Lock(), []

    def body() -> None:
        with lock:
            work()
            state.append(1)

    threading.Thread(target=body).start()
    while True:
        with lock:
            if state:
                return result()
        time.sleep(0.001)


def by_condition(work: Callable[[], None], result: Callable[[], None]) -> None:
    condition, state = threading.Condition(), []

    def body() -> None:
        work()
        with condition:
            state.append(1)
            condition.notify()

    threading.Thread(target=body).start()
    with condition:
        condition.wait_for(lambda: state)
    result()


def by_barrier(work: Callable[[], None], result: Callable[[], None]) -> None:
    barrier = threading.Barrier(2)
    threading.Thread(target=lambda: (work(), barrier.wait())).start()
    barrier.wait()
    result()


HAND_OVERS = [
    by_join, by_polling_is_alive, by_queue, by_event, by_future, by_lock, by_condition, by_barrier,
]  # fmt: skip


@pytest.mark.parametrize("hand_over", HAND_OVERS)
def test_order_between_threads(backend: accel.Backend, hand_over: Callable[..., None]) -> None:
    shared = torch.zeros(1000)
    total = []
    hand_over(lambda: shared.fill_(1), lambda: total.append(float(shared.sum())))
    assert total == [1000]


def test_order_that_cannot_be_seen_is_told() -> None:
    backend = accel.get_backend("cpu")
    shared, box = torch.zeros(1000), []
    with StreamSanitizer(backend, raising=True) as sanitizer:

        def work() -> None:
            shared.fill_(1)
            box.append(sanitizer.publish())

        thread = threading.Thread(target=work)
        thread.start()
        while not box:
            time.sleep(0.001)
        sanitizer.observe(box[0])
        assert float(shared.sum()) == 1000
        thread.join()


def test_sanitizers_may_end_in_any_order() -> None:
    from torch.testing._internal.logging_tensor import LoggingTensorMode

    backend, other = accel.get_backend("cpu"), accel.get_backend("cpu-reference")
    before = {name: getattr(torch.Tensor, name) for name in ("tolist", "numpy")}
    depth = torch._C._len_torch_dispatch_stack()
    first, second = StreamSanitizer(backend), StreamSanitizer(other)
    first.start()
    second.start()
    with LoggingTensorMode():
        first.stop()
        assert torch.ones(3).tolist() == [1, 1, 1]
    second.stop()
    assert torch._C._len_torch_dispatch_stack() == depth
    assert {name: getattr(torch.Tensor, name) for name in before} == before


def test_a_sanitizer_is_on_once() -> None:
    sanitizer = StreamSanitizer(accel.get_backend("cpu"))
    with sanitizer:
        with pytest.raises(accel.StateError, match="on already"):
            sanitizer.start()
    sanitizer.stop()


def test_a_callback_is_the_affair_of_its_own_backends_sanitizer() -> None:
    backend, other = accel.get_backend("cpu"), accel.get_backend("cpu-reference")
    with StreamSanitizer(backend, raising=True), StreamSanitizer(other, raising=True):
        memory, stream = torch.zeros(1000), backend.streams.create()
        memory.fill_(1)
        seen: list[torch.Tensor] = []
        stream.add_callback(lambda: seen.append(memory.clone()))
        stream.synchronize()
        assert float(seen[0].sum()) == 1000
