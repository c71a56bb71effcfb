"""Small uploads on CPU streams."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import accel
from accel import AsyncError

DTYPES = (torch.int32, torch.int64, torch.float32, torch.float64)


@pytest.fixture(scope="module", params=["cpu", "cpu-reference"])
def backend(request):
    return accel.get_backend(request.param)


@st.composite
def sources(draw):
    """A tensor of up to three axes, some of them stepped over, swapped or expanded."""
    dtype = draw(st.sampled_from(DTYPES))
    extents = draw(st.lists(st.integers(0, 40), min_size=0, max_size=3))
    steps = [draw(st.integers(1, 3)) for _ in extents]
    whole = torch.randint(-1000, 1000, [n * s for n, s in zip(extents, steps, strict=True)])
    part = whole.to(dtype)[tuple(slice(None, None, s) for s in steps)]
    if part.dim() >= 2 and draw(st.booleans()):
        part = part.transpose(0, -1)
    if draw(st.booleans()):
        part = part.unsqueeze(0).expand(draw(st.integers(1, 3)), *part.shape)
    return part


@settings(max_examples=150, deadline=None)
@given(source=sources(), queued=st.booleans())
def test_any_source_arrives(backend, source, queued):
    stream = None
    if queued and accel.Capability.STREAM_CALLBACK in backend.capabilities:
        stream = backend.streams.create()
    wanted = source.clone()
    target = torch.full(source.shape, -7, dtype=source.dtype)
    gate = threading.Event()
    if stream is not None:
        stream.add_callback(gate.wait)
    backend.kv.upload_small(target, source, stream=stream)
    if stream is not None and source.numel():
        source.untyped_storage().fill_(0)
        assert target.eq(-7).all()
        gate.set()
        stream.synchronize()
    gate.set()
    assert torch.equal(target, wanted)


def test_the_target_is_kept_until_it_was_written():
    cpu = accel.get_backend("cpu")
    stream, gate = cpu.streams.create(), threading.Event()
    stream.add_callback(gate.wait)
    target = torch.zeros(5000, dtype=torch.int64)
    view = target.view(-1)
    cpu.kv.upload_small(target, torch.arange(5000), stream=stream)
    address = target.data_ptr()
    del target
    gate.set()
    stream.synchronize()
    assert view.data_ptr() == address
    assert torch.equal(view, torch.arange(5000))


def test_inside_a_stream_it_waits_its_turn():
    cpu = accel.get_backend("cpu")
    stream, order = cpu.streams.create(), []
    target = torch.zeros(8, dtype=torch.int32)
    stream.add_callback(lambda: order.append(int(target[0])))
    with cpu.stream(stream):
        cpu.kv.upload_small(target, torch.full((8,), 9, dtype=torch.int32))
        assert order == [0]
        assert (target == 9).all()


def test_a_failed_stream_does_not_upload():
    cpu = accel.get_backend("cpu")
    stream = cpu.streams.create()

    def fail():
        raise ValueError("planted")

    stream.add_callback(fail)
    with pytest.raises(AsyncError):
        stream.synchronize()
    target = torch.zeros(8, dtype=torch.int32)
    cpu.kv.upload_small(target, torch.arange(8, dtype=torch.int32), stream=stream)
    stream.synchronize()
    assert target.tolist() == list(range(8))
