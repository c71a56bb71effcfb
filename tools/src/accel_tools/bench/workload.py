"""A workload: what to set up, what to call, what must come out. And how one becomes a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING

from accel import Capability, OutOfMemoryError

from .measure import Budget, Clock, Contender, Timing, in_turns, interleave
from .rows import Comparison, Row, Status
from .site import Kind, Site, one_thread
from .stream_trace import NEEDS as TRACE_NEEDS
from .stream_trace import StreamSpan, trace

if TYPE_CHECKING:
    from accel import Stream

__all__ = ["Case", "TorchWay", "Workload", "run_workload", "skipped_row"]


@dataclass(frozen=True)
class TorchWay:
    """How plain torch does the same, on the same tensors."""

    what: str
    call: Callable[[], object]
    allocates: bool = False  #: returns new tensors instead of writing the row's own output


@dataclass(frozen=True)
class Case:
    """A workload set up on a site.

    ``reset`` poisons the outputs, and ``check`` then says what is wrong with them after ``call``
    (an empty string when nothing is): every byte that must be written, and that the others are
    as they were.
    """

    call: Callable[[], object]
    reset: Callable[[], None]
    check: Callable[[], str]
    dst: Kind  #: of the plain copy that it is compared with
    src: Kind
    torch_ways: tuple[TorchWay, ...] = ()
    submission: bool = False  #: time the host's part of the call alone
    stream: Stream | None = (
        None  #: where ``call`` goes, and the plain copy; the current one if None
    )
    #: In place of the site's plain copy: its name and the call, for each set of buffers; empty
    #: where nothing is moved that a copy could be compared with.
    plain: tuple[tuple[str, Callable[[], object]], ...] | None = None
    labels: Mapping[str, str | int] = field(default_factory=dict)  #: what only the data tells


@dataclass(frozen=True)
class Workload:
    """One row to be."""

    name: str
    needs: tuple[Capability, ...]  #: the first is what is measured
    bytes: int  #: payload, one direction
    footprint: int  #: bytes of memory that it takes, about
    prepare: Callable[[Site], Case] = field(repr=False)
    labels: Mapping[str, str | int] = field(default_factory=dict)
    touched: int = 0  #: bytes that must be read and written; twice the payload if 0


def run_workload(workload: Workload, site: Site, budget: Budget, memory: int | None = None) -> Row:
    """Check, measure and check again.

    Args:
        memory: bytes that a workload may take; unbounded if None.

    What goes wrong is the row's status and reason; only what ends the process passes through.
    """
    capabilities = site.backend.capabilities
    missing = [c for c in (*workload.needs, Capability.COPY) if c not in capabilities]
    if missing:
        names = ", ".join(sorted({str(c) for c in missing}))
        text = f"backend {site.backend.name!r} does not claim {names}"
        return _row(workload, site, Status.UNSUPPORTED, text)
    if memory is not None and workload.footprint > memory:
        text = f"takes about {workload.footprint >> 20} MiB of {memory >> 20} MiB"
        return _row(workload, site, Status.SKIPPED, text)
    try:
        return _run(workload, site, budget)
    except Exception as error:
        site.release()
        status = Status.SKIPPED if _out_of_memory(error) else Status.ERROR
        return _row(workload, site, status, f"{type(error).__name__}: {error}")


def skipped_row(workload: Workload, site: Site, reason: str) -> Row:
    """The row of a workload that was not run."""
    return _row(workload, site, Status.SKIPPED, reason)


def _run(workload: Workload, site: Site, budget: Budget) -> Row:
    with one_thread():
        case = workload.prepare(site)
        sets = 1
        if not case.submission and case.stream is None:
            sets = site.sets(workload.touched or 2 * workload.bytes)
        cases = [case, *(workload.prepare(site) for _ in range(sets - 1))]
    call = in_turns([each.call for each in cases])
    for each in cases:
        wrong = _checked_call(each, site)
        if wrong:
            return _row(workload, site, Status.WRONG, wrong)

    def clock() -> Clock:
        return site.submit_clock(case.stream) if case.submission else site.clock()

    name = clock().name
    contenders = [Contender(call, clock())]
    plains: list[str] = []
    for nbytes in _plain_sizes(workload, case):
        what, plain = _plain(cases, site, nbytes, contenders[0].clock)
        plains.append(what)
        contenders.append(Contender(plain, clock()))
    refused: dict[TorchWay, str] = {}
    for way in case.torch_ways if site.torch_ways else ():
        try:
            way.call()
        except (NotImplementedError, RuntimeError) as error:
            # A device whose torch lacks the operator still has its own figures.
            refused[way] = f"{type(error).__name__}: {error}"
    ways = case.torch_ways if site.torch_ways else ()
    apart = [Contender(way.call, clock()) for way in ways if way not in refused]
    times = interleave(contenders, budget, apart)
    host, device = _apart(case, call, site, budget)
    # Again, now that everything is warm and cached: a call may take another path then.
    for each in cases:
        wrong = _checked_call(each, site)
        if wrong:
            return _row(workload, site, Status.WRONG, f"after {times[0].repeats} repeats: {wrong}")
    compared = [_compare(*pair) for pair in zip(plains, repeat(times[0]), times[1:])]
    of_torch = iter(times[1 + len(plains) :])
    torch = [
        _compare(
            way.what,
            times[0],
            None if way in refused else next(of_torch),
            refused.get(way, ""),
            way.allocates,
        )
        for way in ways
    ]
    return _row(
        workload,
        site,
        Status.OK,
        "",
        clock=name,
        seconds=times[0],
        memcpy=compared[0] if compared else None,
        roofline=compared[-1] if compared and not case.submission else None,
        host=host,
        device=device,
        sets=sets,
        torch=tuple(torch),
        checked=2,
        labels=case.labels,
        timeline=_timeline(case, site),
    )


def _plain_sizes(workload: Workload, case: Case) -> list[int]:
    """The payload; and half of what must be read and written, where that is something else."""
    half = workload.touched // 2
    if case.plain is not None:
        return [workload.bytes] if case.plain else []
    return [workload.bytes] if half in (0, workload.bytes) else [workload.bytes, half]


def _plain(
    cases: list[Case], site: Site, nbytes: int, clock: Clock
) -> tuple[str, Callable[[], object]]:
    first = cases[0]
    if first.plain is None:
        return site.plain_copy(first.dst, first.src, nbytes, clock, first.stream, len(cases))
    own = [pair for case in cases for pair in case.plain or ()]
    return own[0][0], in_turns([call for _, call in own])


def _apart(
    case: Case, call: Callable[[], object], site: Site, budget: Budget
) -> tuple[Timing | None, Timing | None]:
    """The call's host time and its device time, where the device is not the host.

    Each by itself: events around the calls would cost the host, and a host that waits for the
    queue to be empty before every sample would cost the device.
    """
    if not site.event_timed:
        return None, None
    few = replace(budget, seconds=budget.seconds / 4, max_repeats=100)
    (host,) = interleave([Contender(call, site.submit_clock(case.stream))], few)
    device = None
    if case.submission and case.stream is None:
        (device,) = interleave([Contender(call, site.clock())], few)
    return host, device


def _timeline(case: Case, site: Site) -> tuple[StreamSpan, ...]:
    if not site.timelines or any(c not in site.backend.capabilities for c in TRACE_NEEDS):
        return ()
    return trace(site.backend, case.call, partial(site.synchronize, case.stream))


def _checked_call(case: Case, site: Site) -> str:
    with one_thread():
        case.reset()
    site.synchronize()
    case.call()
    site.synchronize(case.stream)
    with one_thread():
        return case.check()


def _compare(
    what: str, own: Timing, other: Timing | None, reason: str = "", allocates: bool = False
) -> Comparison:
    ratio = other.median / own.median if other is not None and own.median > 0 else None
    return Comparison(what, other, ratio, reason, allocates)


def _row(
    workload: Workload,
    site: Site,
    status: Status,
    reason: str,
    *,
    clock: str = "",
    seconds: Timing | None = None,
    memcpy: Comparison | None = None,
    roofline: Comparison | None = None,
    host: Timing | None = None,
    device: Timing | None = None,
    sets: int = 1,
    torch: tuple[Comparison, ...] = (),
    checked: int = 0,
    labels: Mapping[str, str | int] | None = None,
    timeline: tuple[StreamSpan, ...] = (),
) -> Row:
    measured = workload.needs[0]
    return Row(
        name=workload.name,
        status=status,
        bytes=workload.bytes,
        capability=str(measured),
        level=str(site.backend.capabilities[measured]),
        labels={**workload.labels, **(labels or {})},
        reason=reason,
        clock=clock,
        seconds=seconds,
        memcpy=memcpy,
        roofline=roofline,
        touched=workload.touched or 2 * workload.bytes,
        host=host,
        device=device,
        sets=sets,
        torch=torch,
        checked=checked,
        simulated=site.backend.simulated,
        timeline=timeline,
    )


def _out_of_memory(error: Exception) -> bool:
    import torch

    if isinstance(error, (OutOfMemoryError, MemoryError, torch.OutOfMemoryError)):
        return True
    # What torch's CPU allocator raises is a plain RuntimeError.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
