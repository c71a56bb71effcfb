"""Layers in front of a backend: what they see, and that nothing is left of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import accel
from accel.backend import AREAS
from accel.interpose import members
from accel.interpose.interposition import Interposition
from accel.interpose.members import stream_position


class Counting:
    """A layer that counts the calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def provider_method(self, area: str, name: str, inner: Callable[..., Any]) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(f"{area}.{name}")
            return inner(*args, **kwargs)

        return counted

    def object_method(self, kind: str, name: str, inner: Callable[..., Any]) -> Any:
        def counted(self_: Any, *args: Any, **kwargs: Any) -> Any:
            self.calls.append(f"{kind}.{name}")
            return inner(self_, *args, **kwargs)

        return counted


@pytest.fixture
def backend() -> accel.Backend:
    return accel.get_backend("cpu")


@pytest.fixture
def layer(backend: accel.Backend) -> Iterator[Counting]:
    layer = Counting()
    Interposition.of(backend).add(layer)
    yield layer
    Interposition.of(backend).remove(layer)


def methods(backend: accel.Backend) -> dict[tuple[str, str], object]:
    """Every method of every provider, stream and event, as found by a caller."""
    found: dict[tuple[str, str], object] = {}
    for area, _ in AREAS:
        provider = getattr(backend, area)
        found.update({(area, n): vars(provider)[n] for n in vars(provider)})
        cls = type(provider)
        found.update({(cls.__name__, n): v for n, v in vars(cls).items() if callable(v)})
    for value in (backend.streams.default(), backend.events.create()):
        cls = type(value)
        found.update({(cls.__name__, n): v for n, v in vars(cls).items()})
    return found


def test_without_a_layer_the_methods_are_the_plugins_own(backend: accel.Backend) -> None:
    before = methods(backend)
    layer = Counting()
    interposition = Interposition.of(backend)
    interposition.add(layer)
    during = methods(backend)
    changed = {k for k in before if during.get(k) is not before[k]}
    assert {("memcpy", "copy_async"), ("Stream", "synchronize"), ("Event", "query")} <= changed
    interposition.remove(layer)
    after = methods(backend)
    assert before.keys() == after.keys()
    assert [k for k in before if before[k] is not after[k]] == []


def test_objects_made_before_are_seen_too(backend: accel.Backend) -> None:
    stream, event = backend.streams.create(), backend.events.create()
    layer = Counting()
    Interposition.of(backend).add(layer)
    try:
        with stream:
            event.record(stream)
        stream.wait_event(event)
        event.synchronize()
    finally:
        Interposition.of(backend).remove(layer)
    assert layer.calls == [
        "stream.__enter__", "event.record", "stream.__exit__", "stream.wait_event",
        "event.synchronize",
    ]  # fmt: skip


def test_every_area_is_seen_and_answers_as_before(backend: accel.Backend, layer: Counting) -> None:
    x, y = torch.arange(10), torch.zeros(10, dtype=torch.int64)
    stream = backend.streams.create(priority=-1)
    backend.memcpy.copy_async(y, x, stream=stream)
    stream.synchronize()
    assert torch.equal(x, y)
    buffer = backend.pinned.allocate(100)
    assert backend.pinned.is_pinned(buffer)
    buffer.free()
    assert stream.priority == -1
    assert isinstance(backend.memcpy, accel.Memcpy)
    assert layer.calls == [
        "streams.create", "memcpy.copy_async", "stream.synchronize", "pinned.allocate",
        "pinned.is_pinned", "buffer.free",
    ]  # fmt: skip
    with pytest.raises(accel.ShapeError):
        backend.memcpy.copy(y, x[:3])


def test_two_layers_stack_and_either_may_go_first(backend: accel.Backend) -> None:
    inner, outer = Counting(), Counting()
    interposition = Interposition.of(backend)
    interposition.add(inner)
    interposition.add(outer)
    backend.streams.default()
    assert inner.calls[-1] == outer.calls[-1] == "streams.default"
    interposition.remove(inner)
    seen = len(inner.calls)
    backend.streams.default()
    assert len(inner.calls) == seen
    assert outer.calls.count("streams.default") == 2
    interposition.remove(outer)


def test_two_backends_that_share_a_class_are_told_apart(backend: accel.Backend) -> None:
    class Stream:
        device = torch.device("cpu")

        def query(self) -> bool:
            return True

    from accel.interpose import interposition as module

    layers = Counting(), Counting()
    others = [accel.Backend(backend.info, backend.probe, backend._spec) for _ in layers]
    for other, index in zip(others, (0, 1), strict=True):
        other.device = torch.device("meta", index)
        for area, _ in AREAS:
            setattr(other, area, type(getattr(backend, area)).__mro__[-3]())
        interposition = Interposition.of(other)
        interposition.add(layers[index])
        interposition.adopt("stream", Stream())
    stream = Stream()
    stream.device = torch.device("meta", 1)
    assert stream.query()
    assert (layers[0].calls, layers[1].calls) == ([], ["stream.query"])
    for other in others:
        Interposition.of(other).clear()
    assert Stream not in module._patched


def test_a_class_that_cannot_be_changed_is_an_error_that_names_it(backend: accel.Backend) -> None:
    other = accel.Backend(backend.info, backend.probe, backend._spec)
    for area, _ in AREAS:
        setattr(other, area, getattr(backend, area))
    fixed = accel.Events()
    fixed.create = lambda **_: memoryview(b"")  # type: ignore[assignment,method-assign]
    other.events = fixed
    other.capabilities = accel.Capabilities({accel.Capability.EVENTS: accel.Level.NATIVE})
    members.OBJECT_MEMBERS["event"] += ("release",)
    try:
        interposition = Interposition.of(other)
        with pytest.raises(accel.StateError, match=r"builtins\.memoryview cannot be replaced"):
            interposition.add(Counting())
        assert fixed.create.__name__ == "<lambda>"
    finally:
        members.OBJECT_MEMBERS["event"] = members.OBJECT_MEMBERS["event"][:-1]


def test_where_a_method_takes_its_stream(backend: accel.Backend) -> None:
    positions = {n: stream_position(backend.memcpy, n) for n in ("copy", "fill", "copy_2d")}
    assert positions == {"copy": 2, "fill": 2, "copy_2d": -1}
    assert stream_position(backend.kv, "transfer") == -1
    assert stream_position(backend.kv, "upload_small") == -1
    assert stream_position(backend.pinned, "allocate") is None
