"""What the contract's calls cost the host, next to torch's own of the same device.

Nothing moves that counts: rows have no bytes, or 64 of them. torch's own are those of its device
module (``torch.cuda`` and its like), where there is one with streams and events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from accel import Capability

from ..buffers import GuardedPair
from ..site import POISON, Kind, Site
from ..workload import Case, TorchWay, Workload

if TYPE_CHECKING:
    from accel import Stream

__all__ = ["copies", "events", "streams"]

TINY = 64
FOOT = 64 << 10
EVENTS = (Capability.EVENTS, Capability.STREAMS)
STREAMS = (Capability.STREAMS,)


def events(site: Site, max_bytes: int) -> Iterator[Workload]:
    """Recording, waiting, asking, making."""
    del site, max_bytes
    yield _row("event: record", EVENTS, _record)
    yield _row("event: record, with timing", (*EVENTS, Capability.EVENT_TIMING), _record_timed)
    yield _row("event: a stream waits", EVENTS, _wait)
    yield _row("event: query of a complete one", EVENTS, _query)
    yield _row("event: create", EVENTS, _create_event)


def streams(site: Site, max_bytes: int) -> Iterator[Workload]:
    """Selecting one, asking for the current one, waiting for an idle one."""
    del site, max_bytes
    yield _row("stream: use", STREAMS, _use)
    yield _row("stream: current", STREAMS, _current)
    yield _row("stream: query of an idle one", STREAMS, _query_stream)
    yield _row("stream: synchronize an idle one", STREAMS, _synchronize)


def copies(site: Site, max_bytes: int) -> Iterator[Workload]:
    """64 bytes in every direction, and a fill: submission alone."""
    del max_bytes
    ways: list[tuple[Kind, Kind]] = [("device", "device")]
    if site.separate and site.has("pinned"):
        ways += [("pinned", "device"), ("device", "pinned")]
    for dst, src in ways:
        name = f"memcpy: copy_async {TINY} B, {site.label(src)} to {site.label(dst)}"
        yield _row(name, (Capability.COPY,), partial(_copy, dst, src), TINY)
    yield _row(f"memcpy: fill {TINY} B", (Capability.FILL,), _fill, TINY)


def _row(
    name: str, needs: tuple[Capability, ...], prepare: Callable[[Site], Case], nbytes: int = 0
) -> Workload:
    return Workload(name, needs, nbytes, FOOT, prepare)


def _case(
    call: Callable[[], object],
    check: Callable[[], str],
    what: str,
    theirs: Callable[[], object] | None,
    reset: Callable[[], object] = lambda: None,
) -> Case:
    ways = () if theirs is None else (TorchWay(what, theirs),)

    def done() -> None:
        reset()

    return Case(call, done, check, "device", "device", ways, submission=True, plain=())


def _torch(site: Site) -> Any:
    """torch's module of the device, if it has streams of its own; else None."""
    import torch

    if not site.separate or Capability.STREAM_TORCH not in site.backend.capabilities:
        return None
    return torch.get_device_module(site.backend.device)


def _record(site: Site, *, timing: bool = False) -> Case:
    event = site.backend.events.create(timing=timing)
    stream = site.backend.streams.current()
    module = _torch(site)
    theirs = module and module.Event(enable_timing=timing)

    def check() -> str:
        event.synchronize()
        return "" if event.query() else "it is not complete after synchronize"

    call = partial(stream.record_event, event)
    return _case(call, check, "Event.record", theirs and theirs.record)


def _record_timed(site: Site) -> Case:
    return _record(site, timing=True)


def _pair(site: Site) -> tuple[Any, Any, Stream, Any, Any]:
    """A recorded event and another stream: ours, and torch's."""
    stream, current = site.backend.streams.create(), site.backend.streams.current()
    event = current.record_event()
    module = _torch(site)
    if module is None:
        return event, None, stream, None, None
    theirs = module.Event()
    theirs.record()
    return event, theirs, stream, module.Stream(device=site.backend.device), module


def _wait(site: Site) -> Case:
    event, theirs, stream, side, _ = _pair(site)

    def check() -> str:
        stream.synchronize()
        return "" if stream.query() and event.query() else "the wait has not ended"

    call = partial(stream.wait_event, event)
    return _case(call, check, "Stream.wait_event", side and partial(side.wait_event, theirs))


def _query(site: Site) -> Case:
    event, theirs, *_ = _pair(site)
    site.synchronize()
    return _case(
        event.query, lambda: "" if event.query() else "not complete", "Event.query",
        theirs and theirs.query,
    )  # fmt: skip


def _create_event(site: Site) -> Case:
    create, module = site.backend.events.create, _torch(site)
    made: list[Any] = []

    def call() -> None:
        made[:] = [create()]

    # torch makes its event when it is first recorded.
    theirs = module and module.Event
    return _case(call, lambda: "" if made[0].query() else "not complete", "Event()", theirs)


def _use(site: Site) -> Case:
    streams, stream, module = site.backend.streams, site.backend.streams.create(), _torch(site)
    before, seen = streams.current().handle, [0]

    def call() -> None:
        with streams.use(stream):
            pass

    def check() -> str:
        with streams.use(stream):
            seen[0] = streams.current().handle
        if seen[0] != stream.handle or streams.current().handle != before:
            return "the current stream is another one"
        return ""

    if module is None:
        return _case(call, check, "", None)
    other = module.Stream(device=site.backend.device)

    def theirs() -> None:
        with module.stream(other):
            pass

    return _case(call, check, "with stream(s)", theirs)


def _current(site: Site) -> Case:
    streams, module = site.backend.streams, _torch(site)
    default = streams.default().handle
    return _case(
        streams.current,
        lambda: "" if streams.current().handle == default else "not the default stream",
        "current_stream()",
        module and partial(module.current_stream, site.backend.device),
    )


def _query_stream(site: Site) -> Case:
    _, _, stream, side, _ = _pair(site)
    return _case(
        stream.query, lambda: "" if stream.query() else "busy", "Stream.query", side and side.query
    )


def _synchronize(site: Site) -> Case:
    _, _, stream, side, _ = _pair(site)
    return _case(
        stream.synchronize, lambda: "" if stream.query() else "busy", "Stream.synchronize",
        side and side.synchronize,
    )  # fmt: skip


def _copy(dst: Kind, src: Kind, site: Site) -> Case:
    pair = GuardedPair.make(site, dst, src, TINY, "calls")
    theirs = partial(pair.dst.copy_, pair.src, non_blocking=True)
    call = partial(site.backend.memcpy.copy_async, pair.dst, pair.src)
    return _case(call, pair.check, "Tensor.copy_", theirs, pair.reset)


def _fill(site: Site) -> Case:
    import torch

    target = site.empty("device", TINY, torch.uint8)

    def check() -> str:
        return "" if bool((target.cpu() == 0x3C).all()) else "other bytes"

    call = partial(site.backend.memcpy.fill, target, 0x3C)
    return _case(
        call, check, "Tensor.fill_", partial(target.fill_, POISON), partial(site.poison, target)
    )
