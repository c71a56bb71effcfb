"""torch's current stream, through functions that stand in for torch's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from accel_cuda import _native


class Torch:
    """What torch keeps for each thread: its device, and a stream of every device."""

    def __init__(self) -> None:
        self._here = threading.local()
        self.recorded: list[tuple[object, int]] = []

    def _streams(self) -> dict[int, int]:
        return self._here.__dict__.setdefault("streams", {0: 0, 1: 0})

    def current_raw_stream(self, index: int) -> int:
        return self._streams()[index]

    def current_stream(self, index: int) -> tuple[int, int, int]:
        return self._streams()[index], index, 1

    def set_stream(self, *, stream_id: int, device_index: int, device_type: int) -> None:
        assert device_type == 1
        self._here.device = device_index  # as torch does
        self._streams()[device_index] = stream_id

    def get_device(self) -> int:
        return int(self._here.__dict__.get("device", 0))

    def set_device(self, index: int) -> None:
        self._here.device = index

    def external_stream(self, handle: int, index: int) -> Any:
        return External(handle, index)


class External:
    def __init__(self, handle: int, index: int) -> None:
        self.handle, self.index = handle, index


NAMES = [n for n in vars(Torch) if not n.startswith("_")]


@pytest.fixture
def torch_(driver: Any) -> Iterator[Torch]:
    made = Torch()
    _native.use_torch({name: getattr(made, name) for name in NAMES})
    yield made
    _native.use_torch({})


def test_use_is_torchs_current_stream(torch_: Torch) -> None:
    stream, other = _native.create_stream(0), _native.create_stream(0)
    torch_.set_stream(stream_id=other.handle, device_index=0, device_type=1)
    assert _native.current_stream(0) is other
    with stream:
        assert torch_.current_raw_stream(0) == stream.handle
        assert _native.current_stream(0) is stream
    assert torch_.current_raw_stream(0) == other.handle


def test_the_current_device_is_restored(torch_: Torch) -> None:
    first, second = _native.create_stream(0), _native.create_stream(1)
    with second:
        assert torch_.get_device() == 1
        with first:
            assert torch_.get_device() == 0
        assert torch_.get_device() == 1
        assert torch_.current_raw_stream(1) == second.handle
    assert torch_.get_device() == 0
    assert torch_.current_raw_stream(1) == 0


def test_a_failing_torch_leaves_nothing_entered(torch_: Torch) -> None:
    stream = _native.create_stream(0)

    def refuse(**_: int) -> None:
        raise RuntimeError("torch says no")

    functions = {name: getattr(torch_, name) for name in NAMES}
    _native.use_torch({**functions, "set_stream": refuse})
    with pytest.raises(RuntimeError, match="torch says no"):
        stream.__enter__()
    _native.use_torch(functions)
    with pytest.raises(RuntimeError, match="was not entered"):
        stream.__exit__(None, None, None)
    with _native.capture(stream) as graph:
        assert torch_.current_raw_stream(0) == stream.handle
    graph.replay(stream)
    stream.synchronize()


def test_as_torch_keeps_ours(torch_: Torch) -> None:
    """The stream is not given to another owner while torch's object for it is in use."""
    stream = _native.create_stream(0, -2)
    theirs = stream.as_torch()
    assert isinstance(theirs, External)
    assert (theirs.handle, theirs.index) == (stream.handle, 0)
    del stream
    assert _native.create_stream(0, -2).handle != theirs.handle


def test_record_use(torch_: Torch) -> None:
    """A tensor is told of the stream; inside a capture the graph holds it instead."""
    recorded: list[External] = []

    class Tensor:
        def record_stream(self, stream: External) -> None:
            recorded.append(stream)

    stream, tensor = _native.create_stream(0), Tensor()
    _native.record_use(stream, tensor)
    _native.record_use(stream, tensor)
    assert [s.handle for s in recorded] == [stream.handle] * 2
    assert recorded[0] is recorded[1]
    with _native.capture(stream):
        _native.record_use(stream, tensor)
    assert len(recorded) == 2
