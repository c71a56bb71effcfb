"""The command, on a simulator that simulates nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


def shown(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    environment = json.loads(done.stdout)
    assert isinstance(environment, dict)
    return environment


def run(site: Any, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    words = ["fake", "run", *options, "--", sys.executable, "-c", SHOW]
    done = site.command(*words, **variables)
    assert isinstance(done, subprocess.CompletedProcess)
    return done


def test_child_environment(fake_site: Any, tmp_path: Path) -> None:
    trace = str(tmp_path / "t")
    options = ["--seed", "9", "--delay-us", "50", "--strict", "--devices", "3"]
    options += ["--memory", "1GiB", "--trace", trace, "--release", "1"]
    options += ["--fault", "oom,nth=2", "--fault", "call=f,nth=4,code=7"]
    found = shown(run(fake_site, *options, LD_LIBRARY_PATH="/elsewhere"))
    own = {key: text for key, text in found.items() if key.startswith("ACCEL_SIM_")}
    assert own == {
        "ACCEL_SIM_SEED": "9",
        "ACCEL_SIM_DELAY_US": "50",
        "ACCEL_SIM_STRICT": "1",
        "ACCEL_SIM_DEVICES": "3",
        "ACCEL_SIM_MEMORY": str(2**30),
        "ACCEL_SIM_TRACE": trace,
        "ACCEL_SIM_FAULTS": "call=oom,nth=2;call=f,nth=4,code=7",
        "ACCEL_SIM_RELEASE": "1",
    }
    lib = str(fake_site.folder / "lib")
    assert found["LD_LIBRARY_PATH"] == f"{lib}{os.pathsep}/elsewhere"
    assert found["FAKE_HOME"] == str(fake_site.folder)


def test_a_seed_is_always_there_and_said(fake_site: Any) -> None:
    done = run(fake_site)
    seed = shown(done)["ACCEL_SIM_SEED"]
    assert done.stderr == f"accel-sim: simulated, Fake simulator 1.0 2: seed {seed}\n"
    assert run(fake_site, "--quiet").stderr == ""


def test_modes_come_from_variables_unless_given(fake_site: Any) -> None:
    variables = {"ACCEL_SIM_SEED": "3", "ACCEL_SIM_DELAY_US": "10", "ACCEL_SIM_RELEASE": "1"}
    variables |= {"ACCEL_SIM_FAULTS": "call=oom,nth=2;", "ACCEL_SIM_STRICT": "1"}
    found = shown(run(fake_site, "--delay-us", "20", **variables))
    assert found["ACCEL_SIM_SEED"] == "3"
    assert found["ACCEL_SIM_DELAY_US"] == "20"
    assert found["ACCEL_SIM_RELEASE"] == "1"
    assert found["ACCEL_SIM_STRICT"] == "1"
    assert found["ACCEL_SIM_FAULTS"] == "call=oom,nth=2"


@pytest.mark.parametrize("code", [0, 1, 77])
def test_exit_status_is_the_programs(fake_site: Any, code: int) -> None:
    program = [sys.executable, "-c", f"raise SystemExit({code})"]
    assert fake_site.command("fake", "run", "--", *program).returncode == code


def test_a_signal_is_the_programs(fake_site: Any) -> None:
    text = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    done = fake_site.command("fake", "run", "--", sys.executable, "-c", text)
    assert done.returncode == -signal.SIGTERM


def test_options_of_the_program_are_its_own(fake_site: Any) -> None:
    words = [sys.executable, "-c", "import sys; print(sys.argv[1:])", "--seed", "4", "-h"]
    for separator in ([], ["--"]):
        done = fake_site.command("fake", "run", *separator, *words)
        assert done.stdout == "['--seed', '4', '-h']\n", done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--delay-us", "-1"], "delay_us: expected 0 to"),
        (["--delay-us", "x"], "'x' is not a valid integer"),
        (["--fault", "nonsense"], "given 'nonsense'"),
        (["--memory", "lots"], "memory: expected bytes"),
        (["--devices", "0"], "devices: expected 1 to 64"),
        (["--release", "3"], "'3' is not one of '1', '2'"),
        (["--trace", "/no/such/t"], "existing folder"),
    ],
)
def test_bad_modes(fake_site: Any, options: list[str], says: str) -> None:
    done = run(fake_site, *options)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""


def test_no_such_program(fake_site: Any) -> None:
    done = fake_site.command("fake", "run", "--", "no-such-program-here")
    assert done.returncode == 127
    assert "cannot run 'no-such-program-here': No such file" in done.stderr
    assert fake_site.command("fake", "run").returncode == 2


def test_refused_beside_the_real_stack(fake_site: Any, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "libfake.so").write_bytes(b"\x7fELF the vendor's own")
    done = run(fake_site, LD_LIBRARY_PATH=f"{real}:/elsewhere")
    assert done.returncode == 1
    assert f"LD_LIBRARY_PATH has {real}, which holds a libfake.so" in done.stderr
    assert "--beside-real" in done.stderr
    found = shown(run(fake_site, "--beside-real", LD_LIBRARY_PATH=f"{real}:/elsewhere"))
    # Parts of the real stack and of the simulator must not meet in one process.
    assert found["LD_LIBRARY_PATH"] == f"{fake_site.folder / 'lib'}:/elsewhere"


def test_refused_beside_a_device(fake_site: Any) -> None:
    (fake_site.folder / "hardware").touch()
    done = run(fake_site)
    assert done.returncode == 1
    assert "/dev/fake0 is here" in done.stderr
    assert run(fake_site, "--beside-real").returncode == 0


def test_refused_where_the_real_library_would_win(fake_site: Any) -> None:
    """What comes before LD_LIBRARY_PATH is not to be overruled, so no option helps."""
    (fake_site.folder / "first").mkdir()
    (fake_site.folder / "first" / "libfake.so").write_bytes(b"\x7fELF the vendor's own")
    done = run(fake_site, "--beside-real")
    assert done.returncode == 1
    assert "is loaded before anything that LD_LIBRARY_PATH names" in done.stderr


def test_info(fake_site: Any) -> None:
    done = fake_site.command("fake", "info", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["simulated"] is True
    assert facts["libraries"] == ["libfake.so"]
    assert facts["operators"] == 3
    assert facts["poses_as"] == {"release": {"default": "2", "may": ["1", "2"]}}
    assert facts["more_permissive_than_hardware"] == ["anything goes"]
    text = fake_site.command("fake", "info").stdout
    assert "anything goes" in text
    assert "release: 2 (may be 1, 2)" in text


def test_list_and_broken_ones(fake_site: Any) -> None:
    done = fake_site.command("list")
    assert done.returncode == 0
    assert "fake  Fake simulator 1.0" in done.stdout
    assert "broken  unusable: the simulator 'broken' (fake_simulator:NOTHING)" in done.stdout
    assert "wrong  unusable: fake_simulator:HERE is no accel_sim.Simulator" in done.stdout
    assert "fake" in fake_site.command("--help").stdout
    broken = fake_site.command("broken", "run", "--", "true")
    assert broken.returncode == 1
    assert "AttributeError" in broken.stderr
    assert fake_site.command("absent", "run", "--", "true").returncode == 2
