"""Every planted race is found, with both lines; its twin, which waits, is not reported."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import accel
from accel import StreamRaceError, StreamRaceWarning, StreamSanitizer
from accel.sanitizer import Race

sys.path.insert(0, str(Path(__file__).parent))
from planted import PLANTED


@pytest.fixture
def backend() -> Iterator[accel.Backend]:
    built = accel.get_backend("cpu")
    yield built
    built.streams.synchronize()


def run(backend: accel.Backend, name: str, wait: bool) -> list[Race]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StreamRaceWarning)
        with StreamSanitizer(backend) as sanitizer:
            PLANTED[name].program(backend, wait)
    backend.streams.synchronize()
    return sanitizer.reports


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_race_is_found(backend: accel.Backend, name: str) -> None:
    races = run(backend, name, wait=False)
    assert len(races) == 1, "\n".join(map(str, races)) or "nothing was reported"
    race, expected = races[0], PLANTED[name]
    assert (race.first.call, race.second.call) == expected.calls, str(race)
    assert race.kind == expected.kind, str(race)
    for side in (race.first, race.second):
        assert Path(side.site.file).name == "planted.py", str(race)
    assert race.lo < race.hi
    assert race.fix


@pytest.mark.parametrize("name", PLANTED)
def test_its_twin_is_not_reported(backend: accel.Backend, name: str) -> None:
    races = run(backend, name, wait=True)
    assert not races, "\n".join(map(str, races))


def test_there_are_at_least_twenty() -> None:
    assert len(PLANTED) >= 20


def test_a_race_is_a_warning_at_the_second_line(backend: accel.Backend) -> None:
    with pytest.warns(StreamRaceWarning, match="write-read race on 16384 bytes") as caught:
        with StreamSanitizer(backend):
            PLANTED["upload_without_wait_event"].program(backend, False)
    assert Path(caught[0].filename).name == "planted.py"
    text = str(caught[0].message)
    for part in ("memcpy.copy_async writes dst, int32 [4096], on stream ", "reads src", "Fix: "):
        assert part in text
    backend.streams.synchronize()


def test_or_an_error_when_asked_to_raise(backend: accel.Backend) -> None:
    with pytest.raises(StreamRaceError) as caught:
        with StreamSanitizer(backend, raising=True):
            PLANTED["fill_and_copy"].program(backend, False)
    race: Any = caught.value.race
    assert race.kind == "write-write"
    assert caught.value.cure == race.fix
    backend.streams.synchronize()


def test_a_race_is_said_once(backend: accel.Backend) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StreamRaceWarning)
        with StreamSanitizer(backend) as sanitizer:
            for _ in range(5):
                PLANTED["upload_without_wait_event"].program(backend, False)
    assert len(sanitizer.reports) == 1
    backend.streams.synchronize()
