"""The clocks and the interleaving, against clocks whose answers are known."""

from __future__ import annotations

import gc
from time import sleep

import pytest

from accel_tools.bench import measure
from accel_tools.bench.measure import (
    Budget,
    Contender,
    EventClock,
    HostClock,
    SubmitClock,
    Timing,
    interleave,
)


class Scripted:
    """A clock on which every call takes ``seconds``, or the next of a list."""

    name = "scripted"

    def __init__(self, *seconds, log=None, who=""):
        self.seconds, self.log, self.who, self.asked = list(seconds), log, who, []

    def time(self, call, calls):
        for _ in range(calls):
            call()
        self.asked.append(calls)
        if self.log is not None:
            self.log.append(self.who)
        each = self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]
        return each * calls


def nothing():
    return None


def test_timing_is_the_median_of_calls():
    assert Timing.of([3.0, 1.0, 100.0, 2.0, 4.0], 7) == Timing(3.0, 1.0, 100.0, 5, 7)
    assert Timing.of([1.0, 2.0], 1).median == 1.5


def test_contenders_take_turns_and_each_begins_a_round():
    log = []
    budget = Budget(seconds=1.0, min_repeats=4, max_repeats=4, warmup=1)
    contenders = [Contender(nothing, Scripted(1.0, log=log, who=w)) for w in "abc"]
    interleave(contenders, budget)
    assert "".join(log) == "abc" + "abc" + "bca" + "cab" + "abc"


def test_it_stops_when_the_first_contender_had_its_seconds():
    budget = Budget(seconds=1.0, min_repeats=2, max_repeats=1000, warmup=1, patience=50)
    own, other = interleave(
        [Contender(nothing, Scripted(0.1)), Contender(nothing, Scripted(0.2))], budget
    )
    assert own.repeats == other.repeats == pytest.approx(10, abs=1)


def test_slow_others_end_it_too():
    budget = Budget(seconds=1.0, min_repeats=2, max_repeats=1000, warmup=1, patience=3)
    own, _ = interleave(
        [Contender(nothing, Scripted(0.01)), Contender(nothing, Scripted(1.0))], budget
    )
    assert own.repeats == 3


def test_min_and_max_repeats_bound_it():
    few = Budget(seconds=0.01, min_repeats=5, max_repeats=9, limit=1e9)
    assert interleave([Contender(nothing, Scripted(1.0))], few)[0].repeats == 5
    many = Budget(seconds=1e9, min_repeats=5, max_repeats=9)
    assert interleave([Contender(nothing, Scripted(1.0))], many)[0].repeats == 9


def test_the_one_apart_has_turns_of_its_own_and_a_pause_after_each(monkeypatch):
    log = []
    monkeypatch.setattr(measure, "sleep", lambda seconds: log.append(seconds))
    budget = Budget(seconds=4.0, min_repeats=2, max_repeats=100, warmup=1, pause=0.25)
    own, other = (Contender(nothing, Scripted(1.0, log=log, who=w)) for w in "ab")
    apart = Contender(nothing, Scripted(0.5, log=log, who="t"))
    times = interleave([own, other], budget, [apart])
    said = "".join(map(str, log))
    # Warm-up; then turns of a quarter of the time, when a quarter of it has passed.
    assert said == "abt0.25" + "abtt0.25" + "batt0.25" + "abtt0.25" + "batt0.25"
    assert [t.repeats for t in times] == [4, 4, 8]
    assert times[2].median == 0.5


def test_the_one_apart_has_three_samples_at_least_unless_it_is_very_slow(monkeypatch):
    monkeypatch.setattr(measure, "sleep", lambda seconds: None)
    budget = Budget(seconds=1.0, min_repeats=1, max_repeats=1)
    own = Contender(nothing, Scripted(1.0))
    assert interleave([own], budget, [Contender(nothing, Scripted(2.0))])[1].repeats == 3
    assert interleave([own], budget, [Contender(nothing, Scripted(20.0))])[1].repeats == 1


def test_very_slow_calls_are_not_repeated():
    clock = Scripted(100.0)
    timing = interleave([Contender(nothing, clock)], Budget(seconds=0.1))[0]
    assert timing.repeats == 1
    assert len(clock.asked) == 2, "one warm-up, one sample"


def test_short_calls_are_repeated_within_a_sample():
    clock = Scripted(2.0**-20)
    timing = interleave([Contender(nothing, clock)], Budget(max_repeats=3, min_sample=2.0**-14))[0]
    assert timing.calls == 64
    assert clock.asked == [1, 1, 64, 64, 64]
    assert timing.median == 2.0**-20


@pytest.mark.parametrize("seconds", [0.0, 1e-12])
def test_a_clock_too_coarse_gets_the_most_calls(seconds):
    budget = Budget(max_repeats=2, max_calls=64)
    assert interleave([Contender(nothing, Scripted(seconds))], budget)[0].calls == 64


def test_the_collector_is_off_while_measuring_and_back_on_after():
    seen = []
    budget = Budget(seconds=0.0, min_repeats=1, max_repeats=1)
    interleave([Contender(lambda: seen.append(gc.isenabled()), Scripted(1.0))], budget)
    assert seen == [True, True, False] or seen == [True, False]
    assert gc.isenabled()

    def fail():
        if not gc.isenabled():
            raise KeyError("while measuring")

    with pytest.raises(KeyError, match="while measuring"):
        interleave([Contender(fail, Scripted(1.0))], budget)
    assert gc.isenabled()


def test_the_host_clock_counts_the_wait_and_the_submit_clock_does_not(monkeypatch):
    now, waits = [0.0], []
    monkeypatch.setattr(measure, "perf_counter", lambda: now[0])

    def call():
        now[0] += 1.0

    def wait():
        now[0] += 10.0
        waits.append(now[0])

    assert HostClock(wait).time(call, 3) == 13.0
    assert SubmitClock(wait).time(call, 3) == 3.0
    assert waits == [13.0, 26.0], "the work is complete on return"


def test_the_event_clock_times_the_work_between_its_events(lazy_backend):
    backend = lazy_backend()
    create, stream = backend.events.create, backend.streams.main
    clock = EventClock(create(timing=True), create(timing=True))
    ran = []

    def work():
        sleep(0.01)
        ran.append(1)

    took = clock.time(lambda: stream.push(work), 2)
    assert ran == [1, 1]
    assert 0.02 <= took < 1.0, "seconds, of both calls"
