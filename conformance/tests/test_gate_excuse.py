"""On a device a case whose gate expired is run once more, not twice; on the CPU it is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from accel_conformance.gates import Gates
from accel_conformance.plugin import _Around
from accel_conformance.running import END_OF_CASE, EndOfCase


class Item:
    """As much of a pytest item as the plugin's hook looks at."""

    def __init__(self, device: str, outcomes: list[bool]) -> None:
        self.end, self.runs = EndOfCase(), 0
        self.stash = {END_OF_CASE: self.end}
        self.user_properties: list[Any] = []
        place = SimpleNamespace(type=device)
        backend = SimpleNamespace(device=place, capabilities=frozenset())
        self.funcargs = {"backend": backend}
        self.gates = Gates(backend)
        self.end.checks.append(self.gates.check)
        self.end.excuses.append(self.gates.expired)
        self._outcomes = iter(outcomes)

    def runtest(self) -> None:
        """Close a gate that expires, or not."""
        self.runs += 1
        gate = SimpleNamespace(expired=next(self._outcomes), open=lambda: None)
        self.gates._gates.append(gate)  # type: ignore[arg-type]


def run(item: Item) -> None:
    """What pytest does around the case."""
    around = _Around.pytest_runtest_call(_Around(None), item)  # type: ignore[arg-type]
    next(around)
    try:
        item.runtest()
    except BaseException as error:
        around.throw(error)
    else:
        with pytest.raises(StopIteration):
            next(around)


def test_once_more_and_it_passes() -> None:
    item = Item("npu", [True, False])
    run(item)
    assert item.runs == 2
    assert "first use" in item.user_properties[0][1]


def test_not_a_third_time() -> None:
    item = Item("npu", [True, True, False])
    with pytest.raises(AssertionError, match="gates were not opened"):
        run(item)
    assert item.runs == 2


def test_no_excuse_on_the_cpu_nor_without_an_expired_gate() -> None:
    item = Item("cpu", [True, False])
    with pytest.raises(AssertionError, match="gates were not opened"):
        run(item)
    assert item.runs == 1

    item = Item("npu", [False])
    item.end.checks.append(lambda: pytest.fail("wrong bytes", pytrace=False))
    with pytest.raises(BaseException, match="wrong bytes"):
        run(item)
    assert (item.runs, item.user_properties) == (1, [])


def test_a_good_case_runs_once() -> None:
    item = Item("npu", [False, False])
    run(item)
    assert (item.runs, item.user_properties) == (1, [])
