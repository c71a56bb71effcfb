"""Streams and events over a torch namespace: what is asked of it, in what order and where."""

from __future__ import annotations

import itertools
import threading
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from accel import (
    AccelWarning,
    ArgumentError,
    AsyncError,
    Capability,
    DTypeError,
    NotReadyError,
    StateError,
)
from accel.torch_device.events import TorchEvents
from accel.torch_device.streams import TorchStreams

LOG: list[tuple[Any, ...]] = []


class FakeStream:
    """One of a pool of 32 a device, as the vendors have it."""

    priority: int

    def __init__(self, space: FakeSpace, device: int, number: int) -> None:
        self.space = space
        self.index = device
        self.device = torch.device("meta", device)
        self.stream_id = device * 1000 + number
        self.busy = False
        self.broken = False

    @property
    def meta_stream(self) -> int:
        """The handle; reading it empties the current device's queue."""
        LOG.append(("flush", self.space.current))
        return 0 if self.broken else 0x1000 + self.stream_id

    def query(self) -> bool:
        return not self.busy

    def synchronize(self) -> None:
        LOG.append(("synchronize", self.stream_id))
        if self.broken:
            raise RuntimeError("operator Acme failed")


class FakeEvent:
    def __init__(self, enable_timing: bool = False, interprocess: bool = False) -> None:
        self.timing = enable_timing
        self.done = True
        self.meta_event = 7

    def record(self, stream: FakeStream) -> None:
        LOG.append(("record", stream.stream_id))

    def wait(self, stream: FakeStream) -> None:
        LOG.append(("wait", stream.stream_id))

    def query(self) -> bool:
        return self.done

    def synchronize(self) -> None:
        LOG.append(("event synchronize",))

    def elapsed_time(self, end: FakeEvent) -> float:
        return 1.5


class FakeSpace:
    """As ``torch.npu``, for device type "meta"."""

    Event = FakeEvent

    def __init__(self) -> None:
        self.current = 0
        self.pools = {
            (i, p): [FakeStream(self, i, 1 + n - 100 * p) for n in range(32)]
            for i in range(2)
            for p in (0, -1)
        }
        self.defaults = {i: FakeStream(self, i, 0) for i in range(2)}
        self.selected = dict(self.defaults)
        self.turns = {key: itertools.cycle(pool) for key, pool in self.pools.items()}
        space = self

        class Kind(type):
            def __instancecheck__(cls, instance: object) -> bool:
                return isinstance(instance, FakeStream)

        class Stream(metaclass=Kind):
            def __new__(cls, device: int, priority: int = 0) -> Any:
                return next(space.turns[device, priority])

        self.Stream = Stream

    def current_device(self) -> int:
        return self.current

    def default_stream(self, index: int) -> FakeStream:
        return self.defaults[index]

    def current_stream(self, index: int) -> FakeStream:
        return self.selected[index]

    @contextmanager
    def device(self, index: int) -> Any:
        before, self.current = self.current, index
        yield
        self.current = before

    @contextmanager
    def stream(self, stream: FakeStream) -> Any:
        before = self.selected[stream.index]
        self.selected[stream.index] = stream
        yield
        self.selected[stream.index] = before

    def synchronize(self, index: int) -> None:
        LOG.append(("device synchronize", index))


class FakeVendor:
    device_type = "meta"
    handle = ""
    host_queue = True

    def __init__(self) -> None:
        self.space = FakeSpace()

    def load(self) -> FakeSpace:
        return self.space


@pytest.fixture
def vendor() -> FakeVendor:
    LOG.clear()
    return FakeVendor()


def streams_of(vendor: FakeVendor, index: int = 0) -> TorchStreams:
    found = TorchStreams(vendor, index)  # type: ignore[arg-type]
    TorchEvents(found)
    LOG.clear()
    return found


def test_priorities_are_asked_of_torch(vendor: FakeVendor) -> None:
    """Where they are honoured, a stream comes from the pool of its priority, clamped."""
    for (_, priority), pool in vendor.space.pools.items():
        for stream in pool:
            stream.priority = priority
    for stream in vendor.space.defaults.values():
        stream.priority = 0
    streams = TorchStreams(vendor, 0, (0, -1))  # type: ignore[arg-type]
    assert streams.priority_range() == (0, -1)
    assert Capability.STREAM_PRIORITY in streams.capabilities
    for asked, given in ((0, 0), (-1, -1), (-9, -1), (5, 0)):
        made = streams.create(asked)
        assert made.priority == given
        assert made.as_torch() in vendor.space.pools[0, given]
    adopted = streams.from_torch(vendor.space.pools[0, -1][7])
    assert adopted.priority == -1


def test_null_is_a_stream_where_nothing_is_queued_on_the_host(vendor: FakeVendor) -> None:
    vendor.host_queue = False
    vendor.space.defaults[0].broken = True  # its handle is null
    streams = streams_of(vendor)
    default = streams.default()
    assert default.handle == 0
    assert streams.from_handle(0) is default


def test_created_streams_are_nobodys(vendor: FakeVendor) -> None:
    """torch's pool goes round; a stream that is held, or busy, is not given again."""
    streams = streams_of(vendor)
    held = [streams.create() for _ in range(63)]
    assert len({s.handle for s in held}) == 63
    last = vendor.space.pools[0, -1][31]
    last.busy = True
    held.append(streams.create())
    assert held[-1].as_torch() is last, "a busy stream is better than a shared one"
    free = held.pop(5).handle
    held.append(streams.create())
    assert held[-1].handle == free
    with pytest.warns(AccelWarning, match="all streams that torch has for meta:0 are in use"):
        shared = streams.create()
    assert shared in held


def test_handle_is_read_behind_the_devices_own_queue(vendor: FakeVendor) -> None:
    """The property empties the current device's queue, so the stream's device is made current."""
    streams = streams_of(vendor, 1)
    stream: Any = streams.create()
    LOG.clear()
    assert stream.submit_handle() == stream.handle
    assert LOG == [("flush", 1)]
    assert vendor.space.current == 0


def test_a_queue_that_failed(vendor: FakeVendor) -> None:
    """Its handle reads as null, which would be the runtime's default stream: refused."""
    streams = streams_of(vendor)
    stream: Any = streams.create()
    stream.as_torch().broken = True
    with pytest.raises(AsyncError, match=r"torch.meta.synchronize\(\) says why"):
        stream.submit_handle()
    with pytest.raises(AsyncError, match="operator Acme failed") as caught:
        stream.synchronize()
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_wait_between_devices(vendor: FakeVendor) -> None:
    """Each device has a queue: the record has left its own before the wait is given, and the wait
    has left the other before the event may be destroyed."""
    here, there = streams_of(vendor, 0), streams_of(vendor, 1)
    a, b = here.create(), there.create()
    event = a.record_event()
    LOG.clear()
    b.wait_event(event)
    assert [("flush", 0), ("wait", b.as_torch().stream_id), ("flush", 1)] == LOG
    LOG.clear()
    here.create().wait_event(event)
    assert [entry[0] for entry in LOG if entry[0] != "flush"] == ["wait"]


def test_wait_before_any_record(vendor: FakeVendor) -> None:
    streams = streams_of(vendor)
    event = streams.new_event()
    streams.create().wait_event(event)
    event.synchronize()
    assert event.query()
    assert ("wait",) not in [entry[:1] for entry in LOG]
    assert ("event synchronize",) not in LOG


def test_elapsed_time_does_not_wait(vendor: FakeVendor) -> None:
    streams = streams_of(vendor)
    events = TorchEvents(streams)
    start, end, plain = events.create(timing=True), events.create(timing=True), events.create()
    with pytest.raises(StateError, match="without timing"):
        start.elapsed_time(plain)
    with pytest.raises(StateError, match="never recorded"):
        start.elapsed_time(end)
    start.record()
    end.record()
    end._torch.done = False  # type: ignore[attr-defined]
    with pytest.raises(NotReadyError):
        start.elapsed_time(end)
    end._torch.done = True  # type: ignore[attr-defined]
    assert start.elapsed_time(end) == 1.5


def test_use_nests_and_is_torchs(vendor: FakeVendor) -> None:
    streams = streams_of(vendor)
    a, b = streams.create(), streams.create()
    with streams.use(a):
        assert streams.current() is a
        with b:
            assert vendor.space.selected[0] is b.as_torch()
        assert streams.current() is a
    assert streams.current() is streams.default()


def test_callbacks(vendor: FakeVendor) -> None:
    """Without a way to call the host back the capability is missing; with one errors are kept."""
    streams = streams_of(vendor)
    stream = streams.create()
    with pytest.raises(NotImplementedError, match=r"streams\.callback"):
        stream.add_callback(lambda: None)

    def launch(_: Any, run: Any) -> None:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()

    streams.launch_host_function = launch

    def fail() -> None:
        raise LookupError("inside")

    stream.add_callback(fail)
    with pytest.raises(AsyncError) as caught:
        streams.synchronize()
    assert isinstance(caught.value.__cause__, LookupError)
    stream.synchronize()
    with pytest.raises(DTypeError):
        stream.add_callback(3)  # type: ignore[arg-type]


def test_adopting(vendor: FakeVendor) -> None:
    streams = streams_of(vendor)
    theirs = vendor.space.pools[0, 0][17]
    by_handle = streams.from_handle(0x1000 + theirs.stream_id)
    assert by_handle.as_torch() is theirs
    assert streams.from_torch(theirs) is by_handle
    for handle in (-1, 0, 2**64, 0xDEAD, "x"):
        with pytest.raises(ArgumentError) as caught:
            streams.from_handle(handle)  # type: ignore[arg-type]
        assert caught.value.argument == "handle"
    with pytest.raises(ArgumentError, match="use the backend of that device"):
        streams.from_torch(vendor.space.pools[1, 0][0])
    with pytest.raises(DTypeError):
        streams.from_torch("stream")
