"""Programs run by `Simulation` and by the fixture, on a simulator that simulates nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from accel_sim import Modes, ProgramFailedError, Simulation, Simulator, read_traces
from accel_sim.trace import merge_traces


@pytest.fixture
def fake(fake_site: Any) -> Simulator:
    spec = importlib.util.spec_from_file_location(
        "fake_here", fake_site.folder / "fake_simulator.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.SIMULATOR
    assert isinstance(found, Simulator)
    return found


def test_snippets(fake: Simulator) -> None:
    before = dict(os.environ)
    simulation = Simulation(fake, Modes(seed=4), choices={"release": "1"}, variables={"MORE": "m"})
    done = simulation.python(
        """
        import os, sys
        print(os.environ["ACCEL_SIM_SEED"], os.environ["ACCEL_SIM_RELEASE"], os.environ["MORE"])
        print(sys.argv[1:])
        """,
        "a",
        "b c",
    )
    assert done.lines == ["4 1 m", "['a', 'b c']"]
    assert done.seed == 4
    assert dict(os.environ) == before


def test_failures_tell_what_was_written(fake: Simulator) -> None:
    simulation = Simulation(fake, Modes(seed=12))
    with pytest.raises(ProgramFailedError) as caught:
        simulation.python("print('half way')\nraise ValueError('no further')")
    text = str(caught.value)
    assert "ended with 1 (seed 12)" in text
    assert "half way" in text
    assert "ValueError: no further" in text
    done = simulation.python("raise SystemExit(3)", check=False)
    assert done.returncode == 3


def test_a_program_that_hangs_is_killed_with_its_children(fake: Simulator, tmp_path: Path) -> None:
    """The child would write the file, much later than the limit and long before the test ends."""
    alive = tmp_path / "pid"
    code = f"""
    import subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open({str(alive)!r}, "w").write(str(child.pid))
    time.sleep(600)
    """
    simulation = Simulation(fake)
    limit = 2.0
    while True:  # a slow machine may not have come to the child yet
        with pytest.raises(ProgramFailedError, match="killed after"):
            simulation.python(code, limit=limit)
        if alive.exists() and alive.read_text():
            break
        limit *= 2
    while running(int(alive.read_text())):  # the signal is sent; its end may take a moment
        time.sleep(0.01)


def running(pid: int) -> bool:
    """Whether there is such a process, a zombie left out."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return state.rsplit(")", 1)[1].split()[0] != "Z"


def test_fixture(simulation: Any) -> None:
    with pytest.raises(pytest.skip.Exception, match="'no-such' is not installed"):
        simulation("no-such")


def test_who_uses_the_fixture_is_marked(request: pytest.FixtureRequest, simulation: Any) -> None:
    assert request.node.get_closest_marker("simulated") is not None


def work(name: str, start: float, stream: int = 1, bytes_: int = 0) -> dict[str, Any]:
    return {
        "name": name, "ph": "X", "pid": 5, "tid": 9, "ts": start, "dur": 2.5,
        "args": {"device": 1, "stream": stream, "bytes": bytes_},
    }  # fmt: skip


def document(pid: int, *events: dict[str, Any]) -> str:
    named = {"name": "thread_name", "ph": "M", "tid": 9, "args": {"name": "device 1 stream 1"}}
    mine = [dict(one, pid=pid) for one in (named, *events)]
    calls = {"copyAsync": 2, "streamCreate": 1}
    return json.dumps({"traceEvents": mine, "otherData": {"simulated": True, "calls": calls}})


def test_traces(tmp_path: Path) -> None:
    events = [work("copy", 30, bytes_=64), work("fill", 10), work("copy", 20, 3, 8)]
    events.append(work("copy", 5, -1, 16))
    (tmp_path / "t.5.json").write_text(document(5, *events))
    (tmp_path / "t.7.json").write_text(document(7, work("copy", 1)))
    (tmp_path / "tt.7.json").write_text("not of this run")
    first, second = read_traces(tmp_path / "t")
    assert (first.pid, second.pid) == (5, 7)
    assert first.counts() == {"copy": 2, "fill": 1}  # what a host thread did is not a stream's
    assert first.calls == {"copyAsync": 2, "streamCreate": 1}
    assert [(span.name, span.start) for span in first.spans] == [
        ("copy", 5), ("fill", 10), ("copy", 20), ("copy", 30),
    ]  # fmt: skip
    assert sum(span.bytes for span in first.named("copy", "fill")) == 88
    assert first.streams() == {(1, 1), (1, 3)}
    assert first.rows == ("device 1 stream 1",)
    merge_traces([first, second], tmp_path / "all.json")
    joined = json.loads((tmp_path / "all.json").read_text())
    assert joined["otherData"]["simulated"] is True
    assert [one["pid"] for one in joined["traceEvents"]] == [5] * 5 + [7] * 2


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", '{"traceEvents": 3}', '{"traceEvents": []}', '{"traceEvents": [{"pid": "x"}]}',
        '{"traceEvents": [{"pid": 1, "ph": "X", "name": "a", "ts": 1}]}',
        '{"traceEvents": [{"pid": 1, "ph": "i"}], "otherData": {"calls": [1]}}',
    ],
)  # fmt: skip
def test_no_traces(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.1.json").write_text(text)
    with pytest.raises(ValueError, match=r"t\.1\.json is no trace"):
        read_traces(tmp_path / "t")


def test_trace_command(tmp_path: Path, fake_site: Any) -> None:
    (tmp_path / "t.5.json").write_text(document(5, work("copy", 1, bytes_=6)))
    prefix = str(tmp_path / "t")
    done = fake_site.command("trace", prefix, "--json", "--merge", str(tmp_path / "all.json"))
    facts = {"work": {"copy": 1}, "calls": {"copyAsync": 2, "streamCreate": 1}}
    assert json.loads(done.stdout) == {"5": facts}
    assert (tmp_path / "all.json").exists()
    text = fake_site.command("trace", prefix).stdout
    assert "copy, 6 bytes" in text
    assert "2  call of copyAsync" in text
    missing = fake_site.command("trace", str(tmp_path / "none"))
    assert missing.returncode == 1
    assert "a run with --trace" in missing.stderr


def test_import_is_light() -> None:
    """The pytest plugin is loaded by every run of an environment that has accel-sim."""
    code = "import sys, accel_sim.fixture; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
