"""What is run under a vendor's simulator, for how many devices, levels and seeds."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType

import pytest

Script = Callable[[str], ModuleType]


def after(words: list[str], option: str) -> list[str]:
    """The values of an option that may be repeated."""
    return [words[i + 1] for i, word in enumerate(words) if word == option]


def test_seeds(script: Script) -> None:
    """Every seed on one and two devices, and ranks on as many devices as there are of them."""
    program = script("conformance_simulated")
    given = program.arguments(["ascend", "--seeds", "20", "--first-seed", "3"])
    every = program.runs(given)
    assert {run.seed for run in every} == set(range(3, 23))
    kinds = {(run.part.devices, run.part.levels) for run in every}
    assert kinds == {(1, ()), (2, ()), (4, ("L3",))}
    assert len({run.name for run in every}) == len(every) == 60
    assert {run.by_kernels for run in every if run.part.devices == 1} == {True, False}
    for run in every:
        words = run.words(given)
        split = words.index("--")
        simulator, suite = words[:split], words[split:]
        assert after(simulator, "--seed") == after(suite, "--seed") == [str(run.seed)]
        assert after(simulator, "--devices") == [str(run.part.devices)]
        assert "--strict" in simulator
        assert "--quick" not in suite
        assert "simulated" in json.dumps(suite)


def test_short(script: Script) -> None:
    """Together, the parts of the short form have every level and several devices."""
    program = script("conformance_simulated")
    given = program.arguments(["ascend", "--short", "--quick"])
    every = program.runs(given)
    assert [run.part.devices for run in every] == [1, 2, 4]
    levels = [set(after(run.words(given), "--level")) for run in every]
    assert set.union(*levels) == {"L0..L2", "L1..L2", "L3", "L4"}
    assert {run.by_kernels for run in every[:2]} == {True, False}
    assert all("--quick" in run.words(given) for run in every)
    (names,) = after(every[1].words(given), "-k")
    assert "peer" in names


def test_posed(script: Script) -> None:
    """The simulator poses as what is asked for, on the devices and levels asked for."""
    program = script("conformance_simulated")
    words = ["ascend", "--choice", "cann=8.0", "--choice", "soc=310P"]
    given = program.arguments([*words, "--level", "L0..L2", "--devices", "2"])
    (run,) = program.runs(given)
    line = run.words(given)
    split = line.index("--")
    for option, value in (("--cann", "8.0"), ("--soc", "310P"), ("--devices", "2")):
        assert after(line[:split], option) == [value]
    assert after(line[split:], "--level") == ["L0..L2"]
    assert "cann-8.0" in run.name and "soc-310P" in run.name


def test_poses_take_turns(script: Script) -> None:
    """Without a choice, every release and chip has its turn, with and without the kernels."""
    program = script("conformance_simulated")
    every = program.runs(program.arguments(["mlu", "--seeds", "6"]))
    alone = [run for run in every if run.part.devices == 1]
    assert {(run.choices, run.by_kernels) for run in alone} == {
        (choices, kernels)
        for choices in ((), ("chip=mlu370",), ("cnrt=6.0", "not-ready=busy"))
        for kernels in (True, False)
    }
    (chosen,) = program.runs(program.arguments(["mlu", "--choice", "cnrt=6.14", "--devices", "1"]))
    assert chosen.choices == ("cnrt=6.14",)


@pytest.mark.parametrize("words", [[], ["nothing"]])
def test_an_unknown_backend_is_refused(script: Script, words: list[str]) -> None:
    with pytest.raises(SystemExit):
        script("conformance_simulated").arguments(words)
