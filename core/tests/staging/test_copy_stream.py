"""copy_stream: arguments, what it keeps alive, and what it tells torch."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest
import torch

import accel
from accel import Capability, copy_stream


@pytest.fixture(scope="module")
def backend() -> accel.Backend:
    return accel.get_backend("cpu")


@pytest.mark.parametrize("wrong", [{"stream": 5}, {"compute": "default"}, {"after": 3}])
def test_refused(backend: accel.Backend, wrong: dict[str, Any]) -> None:
    with pytest.raises(accel.DTypeError, match=r"stream|compute|event"):
        with copy_stream(backend, **wrong):
            raise AssertionError("the body ran")


def test_tensors_only(backend: accel.Backend) -> None:
    with pytest.raises(accel.DTypeError, match=r"tensors\[1\]"):
        copy_stream(backend, torch.zeros(1), [1])  # type: ignore[arg-type]


def test_a_stream_for_each_thread(backend: accel.Backend) -> None:
    with copy_stream(backend) as first, copy_stream(backend) as nested:
        assert first.handle == nested.handle
        assert first.handle != backend.streams.current().handle
    others = []

    def other() -> None:
        with copy_stream(backend) as theirs:
            others.append(theirs.handle)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert others != [first.handle]


def test_tensors_are_kept_until_the_copies_are_done(backend: accel.Backend) -> None:
    compute = backend.streams.create()
    gate = threading.Event()
    compute.add_callback(gate.wait)
    tensor = torch.zeros(100)
    ghost = weakref.ref(tensor)
    with copy_stream(backend, tensor, compute=compute):
        del tensor
    gc.collect()
    assert ghost() is not None
    gate.set()
    compute.synchronize()
    with copy_stream(backend, compute=compute):
        pass
    gc.collect()
    assert ghost() is None


def test_current_within(backend: accel.Backend) -> None:
    before = backend.streams.current().handle
    with copy_stream(backend, make_current=True) as copies:
        assert backend.streams.current().handle == copies.handle
        with copy_stream(backend, make_current=True) as again:  # the same stream: nothing to fence
            assert again.handle == copies.handle
    assert backend.streams.current().handle == before


class _Recorded:
    """A stand-in for a device tensor: what torch is told about its streams."""

    def __init__(self) -> None:
        self.device = torch.device("meta")
        self.told: list[str] = []

    def record_stream(self, stream: str) -> None:
        self.told.append(stream)


def test_torch_is_told(backend: accel.Backend) -> None:
    """A caching allocator learns of both streams; only where torch has stream objects."""
    from accel.staging.copy_stream import _tell_torch

    class Stream:
        def __init__(self, name: str) -> None:
            self.name = name

        def as_torch(self) -> str:
            return self.name

    class Device:
        capabilities = accel.Capabilities({Capability.STREAM_TORCH: accel.Level.NATIVE})

    tensor: Any = _Recorded()
    host = torch.zeros(1)
    streams: Any = (Stream("copies"), Stream("compute"))
    _tell_torch(Device(), (tensor, host), *streams)  # type: ignore[arg-type]
    assert tensor.told == ["copies", "compute"]
    _tell_torch(backend, (tensor,), *streams)
    assert len(tensor.told) == 2
