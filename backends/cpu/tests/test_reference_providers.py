"""The synchronous streams and the torch copies of ``cpu-reference``."""

import pytest
import torch

import accel
from accel.errors import (
    ArgumentError,
    CapabilityError,
    DeviceError,
    DTypeError,
    FreedError,
    OverlapError,
    ShapeError,
    SizeError,
    StateError,
)
from accel.providers import MemRef


@pytest.fixture
def backend():
    return accel.get_backend("cpu-reference")


def ref(tensor, nbytes=None, device="cpu"):
    size = tensor.numel() * tensor.element_size() if nbytes is None else nbytes
    return MemRef(tensor.data_ptr(), size, torch.device(device), tensor)


def test_it_is_never_chosen_by_itself(backend):
    assert backend.info.priority < 0
    assert accel.get_backend(device="cpu").name != "cpu-reference"
    with pytest.raises(CapabilityError, match="pinned"):
        backend.pinned.allocate(16)


def test_streams_are_always_done(backend):
    streams = backend.streams
    one, two = streams.create(), streams.create(-3)
    assert one.query()
    event = one.record_event()
    two.wait_event(event)
    two.wait_stream(one)
    assert event.query()
    event.synchronize()
    streams.synchronize()
    assert one.handle != two.handle
    assert streams.current() is streams.default()
    with backend.stream(one):
        assert streams.current() is one
        with two:
            assert streams.current() is two
        assert streams.current() is one
    assert streams.current() is streams.default()


def test_callbacks_are_refused(backend):
    """Run inline they would block the caller, which add_callback promises not to do."""
    with pytest.raises(CapabilityError, match=r"streams\.callback"):
        backend.streams.create().add_callback(print)


def test_event_timing(backend):
    start, end = (backend.events.create(timing=True) for _ in range(2))
    with pytest.raises(StateError, match="never recorded"):
        start.elapsed_time(end)
    start.record()
    torch.zeros(1000).sort()
    end.record(backend.streams.create())
    assert 0 < start.elapsed_time(end) < 10_000
    with pytest.raises(StateError, match="timing"):
        start.elapsed_time(backend.events.create())
    with pytest.raises(CapabilityError, match=r"events\.ipc"):
        backend.events.create(interprocess=True)


def test_strangers_are_refused(backend):
    other = accel.get_backend("cpu")
    with pytest.raises(DTypeError, match="stream"):
        backend.streams.use(other.streams.create())
    with pytest.raises(DTypeError, match="stream"):
        backend.memcpy.copy(torch.zeros(1), torch.ones(1), stream=other.streams.create())
    with pytest.raises(DTypeError, match="event"):
        backend.streams.create().wait_event(other.events.create())


def test_copies_of_any_strides(backend):
    src = torch.arange(24, dtype=torch.float32).view(4, 6)
    dst = torch.zeros(6, 8)[:, ::2]
    backend.memcpy.copy(dst, src.t())
    assert torch.equal(dst, src.t())
    raw = torch.zeros(96, dtype=torch.uint8)
    backend.memcpy.copy_async(ref(raw), src)
    assert torch.equal(raw.view(torch.float32).view(4, 6), src)
    back = torch.zeros(4, 6)
    backend.memcpy.copy(back, ref(raw))
    assert torch.equal(back, src)
    nan = torch.tensor([0x7FA1], dtype=torch.int16).view(torch.bfloat16)  # a signalling one
    kept = torch.zeros(1, dtype=torch.bfloat16)
    backend.memcpy.copy(kept, nan)
    assert kept.view(torch.int16).item() == 0x7FA1


def test_batch_2d_and_fill(backend):
    a, b = torch.arange(6), torch.arange(8, dtype=torch.int16)
    x, y = torch.zeros_like(a), torch.zeros_like(b)
    backend.memcpy.copy_batch([x, ref(y)], [a, b])
    assert torch.equal(x, a)
    assert torch.equal(y, b)
    src = torch.arange(40, dtype=torch.uint8)
    dst = torch.zeros(40, dtype=torch.uint8)
    backend.memcpy.copy_2d(dst, src, width=3, height=4, dst_pitch=5, src_pitch=10)
    assert dst.tolist() == [10 * (i // 5) + i % 5 if i % 5 < 3 and i < 20 else 0 for i in range(40)]
    backend.memcpy.fill(dst[1:3], 7)
    assert dst[:4].tolist() == [0, 7, 7, 0]
    floats = torch.zeros(3, 4)[:, ::2]
    backend.memcpy.fill(floats, 0xFF)
    assert bool((floats.view(torch.int32) == -1).all())
    backend.memcpy.copy(torch.zeros(0), torch.zeros(0))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda m, t: m.copy(t, torch.zeros(5)), ShapeError),
        (lambda m, t: m.copy(t, torch.zeros(8).half()), DTypeError),
        (lambda m, t: m.copy(t, [0.0] * 8), DTypeError),
        (lambda m, t: m.copy(t, torch.zeros(8, device="meta")), DeviceError),
        (lambda m, t: m.copy(ref(t), ref(torch.zeros(7))), SizeError),
        (lambda m, t: m.copy(ref(t, device="cuda"), t), DeviceError),
        (lambda m, t: m.copy(ref(t, -1), t), SizeError),
        (lambda m, t: m.copy(MemRef(0, 32, t.device), t), ArgumentError),
        (lambda m, t: m.copy(ref(t), torch.zeros(16)[::2]), ShapeError),
        (lambda m, t: m.copy(t[1:], t[:-1]), OverlapError),
        (lambda m, t: m.copy(t.view(2, 4).t(), t.view(4, 2)), OverlapError),
        (lambda m, t: m.copy(t[:1].expand(8), torch.ones(8)), OverlapError),
        (lambda m, t: m.fill(t[:1].expand(8), 1), OverlapError),
        (lambda m, t: m.copy_batch([t], [torch.ones(8), torch.ones(8)]), ShapeError),
        (lambda m, t: m.copy_batch([t[:4], t[3:7]], [torch.ones(4)] * 2), OverlapError),
        (lambda m, t: m.copy_batch([t[:4], t[4:]], [torch.ones(4), t[:4]]), OverlapError),
        (lambda m, t: m.fill(t, 256), ArgumentError),
        (
            lambda m, t: m.copy_2d(t, torch.ones(8), width=8, height=5, dst_pitch=8, src_pitch=8),
            SizeError,
        ),
        (
            lambda m, t: m.copy_2d(t, torch.ones(8), width=8, height=2, dst_pitch=4, src_pitch=8),
            SizeError,
        ),
    ],
)
def test_wrong_copies_change_nothing(backend, call, error):
    target = torch.arange(8, dtype=torch.float32)
    with pytest.raises(error):
        call(backend.memcpy, target)
    assert torch.equal(target, torch.arange(8, dtype=torch.float32))


def test_freed_storage(backend):
    freed = torch.zeros(8)
    freed.untyped_storage().resize_(0)
    with pytest.raises(FreedError, match="src"):
        backend.memcpy.copy(torch.zeros(8), freed)


def test_interleaved_views_do_not_overlap(backend):
    both = torch.arange(10)
    backend.memcpy.copy(both[::2], both[1::2])
    assert both.tolist() == [1, 1, 3, 3, 5, 5, 7, 7, 9, 9]
