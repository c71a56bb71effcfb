"""``accel doctor`` in sound environments and in every kind of broken one."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import Any

from rich.console import Console

from accel_tools.doctor import show

ABSENT = "accel.Probe(False, 'no acme device file', cure='plug one in')"
NO_DRIVER = (
    "accel.Probe(False, 'two cards, no driver', cure='install acme-driver', hardware_present=True)"
)


def named(found: dict[str, Any], name: str) -> dict[str, Any]:
    (candidate,) = [c for c in found["candidates"] if c["name"] == name]
    return dict(candidate)


def test_all_is_well(command_site: Any) -> None:
    command_site.plugin("cpu")
    command_site.plugin("card", device="xpu", priority=100, probe=ABSENT)
    found, status = command_site.diagnosis()
    assert status == 0, found["problems"]
    assert found["ok"] is True
    assert found["schema"] == 1
    assert found["problems"] == []
    assert found["choice"]["chosen"] == "cpu"
    assert found["torch"]["works"] is True
    assert found["torch"]["version"].startswith(found["environment"]["torch"].split("+")[0])
    assert found["environment"]["distributions"]["acme-cpu"] == "1.5"
    build = named(found, "cpu")["build"]
    assert build["device"] == "cpu"
    assert build["capabilities"] == {"memcpy.copy": "native", "memcpy.fill": "composed"}
    assert build["notes"] == ["memcpy: one thread"]
    card = named(found, "card")
    assert card["status"] == "unavailable"
    assert "build" not in card
    for key in ("memlock_soft", "huge_pages_total", "numa_nodes", "shm_total"):
        assert key in found["host"]
    done = command_site.accel("doctor")
    assert done.returncode == 0
    for expected in (
        "all is well",
        "1 native, 1 composed capabilities",
        "no acme device file",
        "cure: plug one in",
        "get_backend() gives 'cpu'",
        "memlock",
        "huge pages",
        "NUMA",
        "/dev/shm",
    ):
        assert expected in done.stdout


def test_import_torch_is_broken(command_site: Any) -> None:
    command_site.plugin("cpu")
    source = "def load(): pass\nraise ImportError('libhccl.so: cannot open shared object file')"
    command_site.distribution(
        "acme-torch", "acme_torch", source, "torch.backends", "acme_ext = acme_torch:load"
    )
    found, status = command_site.diagnosis()
    assert status == 1
    assert found["torch"]["works"] is False
    (autoload,) = found["environment"]["torch_autoload"]
    assert autoload["distribution"] == "acme-torch"
    assert named(found, "cpu")["status"] == "usable"
    (problem,) = found["problems"]
    assert "acme_ext = acme_torch:load of acme-torch 1.5" in problem["what"]
    assert "TORCH_DEVICE_BACKEND_AUTOLOAD=0" in problem["cure"]
    assert "pip uninstall acme-torch" in problem["cure"]
    command_site.environment["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
    assert command_site.diagnosis()[1] == 0, "the cure that it names does not cure"


def test_plugins_that_take_the_process_down(command_site: Any) -> None:
    command_site.plugin("cpu")
    command_site.plugin("crash", device="xpu", top="import ctypes; ctypes.string_at(0)")
    command_site.plugin("leave", device="xpu", top="import os; os._exit(7)")
    found, status = command_site.diagnosis()
    assert status == 1
    crash = named(found, "acme-crash")
    assert crash["status"] == "broken"
    assert "SIGSEGV" in crash["reason"]
    assert "`pip uninstall acme-crash`" in crash["cure"]
    assert crash["version"] == "1.5"
    assert "acme_crash.py" in crash["traceback"], "faulthandler did not say where"
    assert "exit status 7" in named(found, "acme-leave")["reason"]
    assert named(found, "cpu")["build"]["error"] == "", "the sound one was not tried"
    assert len(found["problems"]) == 2


def test_every_problem_comes_with_its_cure(command_site: Any) -> None:
    command_site.plugin("cpu")
    command_site.plugin("broken", top="raise OSError('libacme.so is not there')")
    command_site.plugin("driver", device="xpu", priority=90, probe=NO_DRIVER)
    command_site.plugin("busy", device="hpu", priority=-1, build="raise OSError('device busy')")
    command_site.plugin(
        "dies", device="mtia", priority=-1, build="import ctypes; ctypes.string_at(0)"
    )
    pack = (
        "import accel\n@accel.hookimpl(tryfirst=True)\n"
        "def accel_events(backend): raise OSError('no kernel')"
    )
    command_site.distribution("acme-pack", "acme_pack", pack, "accel.backends", "pack = acme_pack")
    found, status = command_site.diagnosis()
    assert status == 1
    problems = {p["what"]: p["cure"] for p in found["problems"]}
    for words, cure in (
        ("broken (acme-broken 1.5): plugin 'broken'", "pip install --force-reinstall acme-broken"),
        ("driver (acme-driver 1.5): two cards, no driver", "install acme-driver"),
        ("busy (acme-busy 1.5) cannot be built:", "acme-busy"),
        ("dies (acme-dies 1.5) cannot be built: a process that builds it was killed", "acme-dies"),
        ("plugin 'pack' of acme-pack 1.5 failed to override events", ""),
    ):
        (what,) = [w for w in problems if words in w]
        assert cure in problems[what], (what, problems[what])
    assert named(found, "cpu")["build"]["error"] == ""
    assert "device busy" in named(found, "busy")["build"]["traceback"]
    console = Console(file=io.StringIO(), soft_wrap=True)
    show(found, console, verbose=True)
    text = console.file.getvalue()
    assert "BAD" in text
    assert "device busy" in text
    assert "get_backend() raises PluginError" in text


def test_nothing_is_installed(command_site: Any) -> None:
    found, status = command_site.diagnosis()
    assert status == 1
    assert found["candidates"] == []
    (problem,) = found["problems"]
    assert problem["cure"] == "`pip install accel-cpu`"


def test_an_environment_variable_that_names_nothing(command_site: Any) -> None:
    command_site.plugin("cpu")
    command_site.environment["ACCEL_BACKEND"] = "cuda"
    found, status = command_site.diagnosis()
    assert status == 1
    (problem,) = found["problems"]
    assert "ACCEL_BACKEND=cuda" in problem["what"]
    assert found["environment"]["variables"]["ACCEL_BACKEND"] == "cuda"


def test_a_file_in_the_working_directory_is_no_module(command_site: Any) -> None:
    command_site.plugin("cpu")
    work = command_site.root / "work"
    work.mkdir()
    (work / "torch.py").write_text("raise OSError('not the real one')")
    (work / "pluggy.py").write_text("raise OSError('not the real one')")
    (work / "accel_doctor.py").write_text(
        "import sys\nsys.path.pop(0)\nfrom accel_tools.cli import main\nmain(['doctor', '--json'])"
    )
    path = f"{command_site.root}{os.pathsep}{command_site.farm}"
    done = subprocess.run(
        [sys.executable, "-S", "accel_doctor.py"],
        cwd=work,
        env={**os.environ, "PYTHONPATH": path, "ACCEL_BACKEND": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["ok"] is True
