"""Discovery: finding the backend, and what finding it must not do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import accel
from accel import Backend, BackendInfo, DeviceError, Probe
from accel_conformance.case import case
from accel_conformance.fixtures import ReportProperty

AREAS = ("streams", "events", "pinned", "memcpy", "collectives", "kv")

#: A warm get_backend is one dictionary look-up. The bound leaves room for slow and busy machines;
#: the figure itself is in the report.
WARM_BOUND_US = 20.0


@case(level=0)
def test_same_object(backend: Backend) -> None:
    """Asking again, by name and device or in another form, gives the same object."""
    assert accel.get_backend(backend.name, backend.device) is backend
    assert accel.get_backend(backend.name, str(backend.device)) is backend
    assert backend.name == backend.info.name
    assert not backend.closed


@case(level=0)
def test_warm_call(backend: Backend, report_property: ReportProperty) -> None:
    """A warm get_backend costs microseconds: it may stand in a hot path."""
    name, device = backend.name, backend.device
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(500):
            accel.get_backend(name, device)
        best = min(best, (time.perf_counter() - start) / 500 * 1e6)
    report_property("warm_get_backend_us", round(best, 3))
    assert best < WARM_BOUND_US, f"a warm get_backend takes {best:.1f} us"


@case(level=0)
def test_environment_variable(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """ACCEL_BACKEND chooses it by name."""
    monkeypatch.setenv("ACCEL_BACKEND", backend.name)
    assert accel.get_backend(device=backend.device) is backend


@case(level=0)
def test_bare_integer(backend: Backend) -> None:
    """A bare integer is no device."""
    with pytest.raises(DeviceError):
        accel.get_backend(backend.name, 0)  # type: ignore[arg-type]


@case(level=0)
def test_mentioned(backend: Backend) -> None:
    """available_backends and explain know it, with its distribution and the probe's reason."""
    assert backend.name in accel.available_backends()
    explanation = accel.explain(backend.name, backend.device)
    assert explanation.chosen == backend.name
    assert backend.name in str(explanation)
    found = [c for c in explanation.candidates if c.name == backend.name]
    assert len(found) == 1
    assert found[0].status == "usable"
    assert found[0].reason.strip()
    assert found[0].distribution == backend.distribution
    assert backend.distribution
    assert backend.version


@case(level=0)
def test_areas(backend: Backend) -> None:
    """Every area is there, knows its name, and is of its base class."""
    bases = (
        accel.Streams, accel.Events, accel.PinnedMemory, accel.Memcpy, accel.Collectives,
        accel.KVKernels,
    )  # fmt: skip
    for area, base in zip(AREAS, bases, strict=True):
        provider = getattr(backend, area)
        assert isinstance(provider, base)
        assert provider.backend_name == backend.name
        assert provider.area == area


@case(level=0)
def test_info_and_probe(backend: Backend) -> None:
    """Identity and probe are complete: a table of backends can be made from them."""
    assert isinstance(backend.info, BackendInfo)
    assert isinstance(backend.probe, Probe)
    assert backend.info.device_type == backend.device.type
    assert backend.info.summary.strip(), "BackendInfo.summary is empty"
    assert backend.probe.available
    assert backend.probe.device_count >= 1
    assert backend.probe.reason.strip()
    assert isinstance(backend.notes, tuple)


@case(level=0)
def test_in_threads(backend: Backend) -> None:
    """Threads that ask at once get the same object."""
    found: list[Backend] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        found.extend(accel.get_backend(backend.name, backend.device) for _ in range(200))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1600
    assert all(each is backend for each in found)


def _entry_points(backend: Backend) -> str:
    """The values of the plugin's entry points: those named after the backend, else all."""
    points = [
        point
        for point in entry_points(group="accel.backends")
        if point.dist is not None and point.dist.name == backend.distribution
    ]
    assert points, f"{backend.distribution} has no entry point in group accel.backends"
    named = [point for point in points if point.name == backend.name]
    return ",".join(point.value for point in named or points)


#: Imports the plugin that provides the backend, as discovery does, and asks it for its probe.
_LIGHT = """
import importlib, json, sys
before = set(sys.modules)
answers = []
for name in sys.argv[2].split(","):
    module = importlib.import_module(name.partition(":")[0])
    plugin = module
    for part in filter(None, name.partition(":")[2].split(".")):
        plugin = getattr(plugin, part)
    info = getattr(plugin, "accel_backend_info", lambda: None)()
    if getattr(info, "name", None) != sys.argv[1]:
        continue  # another backend of the same distribution
    probe = plugin.accel_probe()
    answers.append([type(info).__name__, type(probe).__name__])
known = {"torch", "torch_npu", "torch_mlu", "torch_musa", "triton", "numpy", "cupy", "acl"}
print(json.dumps({"heavy": sorted(known & (set(sys.modules) - before)), "answers": answers}))
"""


@case(level=0, seconds=120)
@pytest.mark.parametrize("environment", ["as it is", "empty", "devices hidden"])
def test_import_light(backend: Backend, tmp_path: Path, environment: str) -> None:
    """Importing the plugin, its info and its probe load no framework and never raise."""
    variables = dict(os.environ)
    if environment == "empty":
        kept = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "SYSTEMROOT")
        variables = {k: v for k, v in os.environ.items() if k in kept}
    elif environment == "devices hidden":
        for kind in ("CUDA", "HIP", "ROCR", "ASCEND_RT", "MLU"):
            variables[f"{kind}_VISIBLE_DEVICES"] = ""
    script = tmp_path / "light.py"
    script.write_text(_LIGHT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), backend.name, _entry_points(backend)],
        env=variables, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"importing or probing failed:\n{done.stderr}"
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["heavy"] == [], f"importing the plugin also imports {found['heavy']}"
    assert found["answers"] == [["BackendInfo", "Probe"]], "the plugin and its probe, once"
