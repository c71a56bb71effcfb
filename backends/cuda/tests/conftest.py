"""A driver for tests, built once: what runs without a GPU runs on it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

SOURCES = Path(__file__).parent / "fake_driver"
DRIVER_VARIABLE = "ACCEL_CUDA_DRIVER"


def build_fake_driver(folder: Path) -> Path:
    """The library, built in ``folder`` unless one of the same sources is there."""
    sources = sorted(SOURCES.glob("*.cpp"))
    digest = hashlib.sha256()
    for file in [*sources, *sorted(SOURCES.glob("*.hpp"))]:
        digest.update(file.read_bytes())
    library = folder / f"libfake-{digest.hexdigest()[:16]}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = library.with_suffix(f".{os.getpid()}")
        flags = ["-std=c++17", "-O0", "-g", "-shared", "-fPIC", "-fvisibility=hidden"]
        flags += ["-Wall", "-Wextra", "-Werror"]
        subprocess.run(
            [
                os.environ.get("CXX", "c++"),
                *flags,
                *map(str, sources),
                "-o",
                str(part),
                "-lpthread",
            ],
            check=True,
        )
        part.replace(library)  # another test process may be building the same
    return library


@pytest.fixture(scope="session")
def fake_driver_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of ``fake_driver/``, kept from one run to the next where that can be."""
    build = SOURCES.parents[1] / "build"
    writable = os.access(build if build.exists() else build.parent, os.W_OK)
    return build_fake_driver(build if writable else tmp_path_factory.mktemp("fake_driver"))


class FakeDriver:
    """What tests steer the driver with; see ``fake_driver/fake.hpp``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._library = ctypes.CDLL(str(path))
        self._library.accel_fake_calls.restype = ctypes.c_long
        self._library.accel_fake_graphs.restype = ctypes.c_long
        self._failing: set[str] = set()

    def fail(self, entry: str, code: int, *, skip: int = 0, times: int = 1) -> None:
        """``entry`` returns ``code`` after ``skip`` calls; ``times=-1`` is until the test ends."""
        self._failing.add(entry)
        self._library.accel_fake_fail(entry.encode(), code, skip, times)

    def mend(self) -> None:
        for entry in self._failing:
            self._library.accel_fake_fail(entry.encode(), 0, 0, 0)
        self._failing.clear()

    def calls(self, entry: str) -> int:
        return int(self._library.accel_fake_calls(entry.encode()))

    def graphs(self) -> int:
        """Graphs that the driver still holds."""
        return int(self._library.accel_fake_graphs())


@pytest.fixture(scope="session")
def _opened(fake_driver_path: Path) -> FakeDriver:
    from accel_cuda import _native

    _native.open_driver("cuda", str(fake_driver_path))
    return FakeDriver(fake_driver_path)


@pytest.fixture
def driver(_opened: FakeDriver) -> Iterator[FakeDriver]:
    """The fake driver, opened in this process; failures that a test planted end with it."""
    yield _opened
    _opened.mend()


@pytest.fixture
def on_device(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Any]:
    """``on_device(index)``: the providers of that fake device, as ``.streams``, ``.events``, ..."""
    from accel_cuda.events import CudaEvents
    from accel_cuda.streams import CudaStreams

    def make(index: int) -> Any:
        monkeypatch.setenv(DRIVER_VARIABLE, str(driver.path))
        return SimpleNamespace(streams=CudaStreams(index), events=CudaEvents(index))

    return make


@pytest.fixture
def backend(on_device: Callable[[int], Any]) -> Any:
    """The providers of fake device 0."""
    return on_device(0)
