"""Timing calls against one another: warm-up, interleaving, medians.

The contenders of a row take turns within a round, and the round starts with another one each time:
what a shared machine does to one of them it does to all, and no one always runs on the caches that
another left. The figures are medians over the rounds.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from statistics import median
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from accel import Event

__all__ = [
    "Budget",
    "Clock",
    "Contender",
    "EventClock",
    "HostClock",
    "SubmitClock",
    "Timing",
    "in_turns",
    "interleave",
]

Call = Callable[[], object]

#: How often :class:`EventClock` queues what keeps the device busy, at most.
MOST_AHEAD = 16


@dataclass(frozen=True)
class Budget:
    """How long a row is measured."""

    seconds: float = 0.3  #: the first contender's time in all
    min_repeats: int = 5
    max_repeats: int = 300
    warmup: int = 2  #: untimed calls of each contender
    min_sample: float = 50e-6  #: a shorter call is repeated within a sample until it takes this
    max_calls: int = 1000  #: calls within a sample at most

    patience: float = 3.0  #: all contenders together may take this many times ``seconds``
    limit: float = 10.0  #: and this many times, even if that leaves less than ``min_repeats``
    pause: float = 0.010  #: seconds after each turn of a contender that is kept apart


@dataclass(frozen=True)
class Timing:
    """Seconds of one call over all rounds."""

    median: float
    min: float
    max: float
    repeats: int  #: samples taken
    calls: int  #: calls in each sample, whose mean is the sample

    @classmethod
    def of(cls, samples: Sequence[float], calls: int) -> Timing:
        """The summary of ``samples``, each the seconds of one call."""
        return cls(median(samples), min(samples), max(samples), len(samples), calls)

    def as_json(self) -> dict[str, float | int]:
        return {
            "median": self.median,
            "min": self.min,
            "max": self.max,
            "repeats": self.repeats,
            "calls": self.calls,
        }


class Clock(Protocol):
    """Times a number of calls, from the first one's start to what the clock's name says."""

    name: str

    def time(self, call: Call, calls: int) -> float:
        """Seconds that ``calls`` calls take together. The work is complete on return."""


class HostClock:
    """Host time until the work is complete."""

    name = "host"

    def __init__(self, synchronize: Call) -> None:
        self._synchronize = synchronize

    def time(self, call: Call, calls: int) -> float:
        start = perf_counter()
        for _ in range(calls):
            call()
        self._synchronize()
        return perf_counter() - start


class SubmitClock:
    """Host time until the calls have returned; waiting for the work is not counted."""

    name = "host, submission only"

    def __init__(self, synchronize: Call) -> None:
        self._synchronize = synchronize

    def time(self, call: Call, calls: int) -> float:
        start = perf_counter()
        for _ in range(calls):
            call()
        took = perf_counter() - start
        self._synchronize()
        return took


class EventClock:
    """Device time between two events around the calls on the current stream.

    Args:
        ahead: keeps the stream busy for ``ahead_seconds``. It is queued first, so often that the
            host has queued the calls when the device gets to them: short work is then not timed by
            how fast the host is. How often is learnt from one sample to the next.
    """

    name = "events"

    def __init__(
        self, start: Event, end: Event, ahead: Call | None = None, ahead_seconds: float = 0.0
    ) -> None:
        self._start, self._end = start, end
        self._ahead, self._ahead_seconds = ahead, ahead_seconds
        self._times = 1

    def time(self, call: Call, calls: int) -> float:
        if self._ahead is not None:
            for _ in range(self._times):
                self._ahead()
        self._start.record()
        begin = perf_counter()
        for _ in range(calls):
            call()
        host = perf_counter() - begin
        self._end.record()
        self._end.synchronize()
        if self._ahead_seconds > 0:
            wanted = math.ceil(1.5 * host / self._ahead_seconds)
            # A sample in which the host was held up must not make all later ones long.
            self._times = max(1, min(wanted, 2 * self._times, MOST_AHEAD))
        return self._start.elapsed_time(self._end) / 1e3


def in_turns(calls: Sequence[Call]) -> Call:
    """One call that makes these one after another, for ever."""
    if len(calls) == 1:
        return calls[0]
    following = cycle(calls).__next__
    return lambda: following()()


@dataclass(frozen=True)
class Contender:
    """One of the calls of a row."""

    call: Call
    clock: Clock


def interleave(
    contenders: Sequence[Contender], budget: Budget, apart: Sequence[Contender] = ()
) -> list[Timing]:
    """Time the contenders in turns; the first one is what the row is about.

    Rounds go on until the first contender took ``budget.seconds`` (or all together
    ``budget.patience`` times as much), within ``min_repeats`` and ``max_repeats``. Very slow calls
    get fewer, one at least: ``Timing.repeats`` tells.

    Args:
        apart: contenders that leave something running, as torch does on the CPU: OpenMP's
            threads keep a core busy for some milliseconds after an operator, at the cost of
            whoever comes next. They have a few longer turns between the rounds, and a pause
            follows each. Their timings are the last of the result.
    """
    racers = [_Racer(contender, budget) for contender in contenders]
    extras = [_Racer(contender, budget) for contender in apart]
    sleep(budget.pause if extras else 0)
    order = list(racers)
    due = 0.0
    with _no_gc():
        for repeat in range(budget.max_repeats):
            total = sum(racer.spent for racer in racers)
            if repeat and _enough(repeat, racers[0].spent, total, budget):
                break
            for racer in order:
                racer.sample()
            order.append(order.pop(0))
            if total >= due:
                for extra in extras:
                    extra.turn(budget)
                due = total + budget.seconds / 4
        for extra in extras:
            while len(extra.samples) < 3 and extra.spent < budget.seconds * budget.limit:
                extra.turn(budget)
    return [racer.timing() for racer in (*racers, *extras)]


class _Racer:
    """A contender under way."""

    def __init__(self, contender: Contender, budget: Budget) -> None:
        self._call, self._clock = contender.call, contender.clock
        self._calls = self._warm_up(budget)
        self.samples: list[float] = []
        self.spent = 0.0

    def sample(self) -> None:
        took = self._clock.time(self._call, self._calls)
        self.spent += took
        self.samples.append(took / self._calls)

    def turn(self, budget: Budget) -> None:
        """Samples for a quarter of the time of a row, then a pause."""
        end = self.spent + budget.seconds / 4
        for _ in range(max(1, budget.max_repeats // 4)):
            self.sample()
            if self.spent >= end:
                break
        sleep(budget.pause)

    def timing(self) -> Timing:
        return Timing.of(self.samples, self._calls)

    def _warm_up(self, budget: Budget) -> int:
        """Run it untimed, and say how many calls make a sample."""
        took = self._clock.time(self._call, 1)
        for _ in range(budget.warmup - 1):
            if took < budget.seconds:
                took = min(took, self._clock.time(self._call, 1))
        if took >= budget.min_sample:
            return 1
        # A clock too coarse to see one call gets the most calls.
        calls = math.ceil(budget.min_sample / took) if took > 0 else budget.max_calls
        return min(calls, budget.max_calls)


def _enough(repeats: int, own: float, total: float, budget: Budget) -> bool:
    if repeats < budget.min_repeats:
        return total >= budget.seconds * budget.limit
    return own >= budget.seconds or total >= budget.seconds * budget.patience


@contextmanager
def _no_gc() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
