"""Opening the driver: what is missing is named, and both vendors' names are looked for.

Each test is a process of its own: a process opens one driver.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TABLE = TESTS.parent / "native/driver/table.hpp"


def run(program: str, **environment: str) -> str:
    """What ``program`` printed; it must end well."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def said(statement: str, **environment: str) -> str:
    """The type and text of the error that ``statement`` raises."""
    program = (
        "from accel_cuda import _native\n"
        f"try:\n    {statement}\nexcept Exception as e:\n    print(type(e).__name__, e)\n"
        "else:\n    print('no error')\n"
    )
    return run(program, **environment)


def entries() -> list[tuple[str | None, str | None]]:
    """``(CUDA name, HIP name)`` of every entry of the driver table."""
    text = TABLE.read_text().replace("\\\n", " ")
    found = re.findall(r'X\(\w+,\s*\([^"]*?\),\s*("\w+"|nullptr),\s*("\w+"|nullptr)\)', text)

    def name(quoted: str) -> str | None:
        return None if quoted == "nullptr" else quoted.strip('"')

    return [(name(cuda), name(hip)) for cuda, hip in found]


def test_table_is_consistent() -> None:
    found = entries()
    assert len(found) > 70
    for names in zip(*found, strict=True):
        given = [n for n in names if n]
        assert len(given) == len(set(given)), "an entry is named twice"
    assert all((c or "cu").startswith("cu") and (h or "hip").startswith("hip") for c, h in found)


def test_no_library() -> None:
    text = said("_native.open_driver('cuda', '/nowhere/libcuda.so.1')")
    assert text.startswith(
        "BackendUnavailableError the driver library /nowhere/libcuda.so.1 cannot"
    )
    assert "Cure: install the NVIDIA driver" in text
    assert "Cure: install ROCm" in said("_native.open_driver('hip', '/nowhere/libamdhip64.so')")
    assert said("_native.open_driver('rocm')").startswith("ArgumentError vendor")


def test_not_a_driver(tmp_path: Path) -> None:
    """Every entry that a library lacks is named."""
    source, library = tmp_path / "half.c", tmp_path / "libhalf.so"
    source.write_text("int cuInit(unsigned f) { return 0; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    text = said(f"_native.open_driver('cuda', {str(library)!r})")
    assert "has no cuDriverGetVersion, cuGetErrorName" in text
    assert "cuInit" not in text
    assert "cuMemcpyBatchAsync" not in text, "an optional entry is asked for"
    assert "Cure: upgrade the driver" in text


@pytest.mark.parametrize(("code", "cure"), [("3", "spawn"), ("100", "CUDA_VISIBLE_DEVICES")])
def test_it_does_not_start(fake_driver_path: Path, code: str, cure: str) -> None:
    text = said(f"_native.open_driver('cuda', {str(fake_driver_path)!r})", ACCEL_FAKE_INIT=code)
    assert "BackendUnavailableError cuInit of" in text
    assert cure in text


def test_one_driver_in_a_process(fake_driver_path: Path) -> None:
    path = repr(str(fake_driver_path))
    text = said(f"_native.open_driver('cuda', {path}); _native.open_driver('cuda', '/other')")
    assert "already uses the driver" in text
    assert "no error" in said(f"[_native.open_driver('cuda', {path}) for _ in range(2)]")


def test_no_such_device(fake_driver_path: Path) -> None:
    text = said(f"_native.open_driver('cuda', {str(fake_driver_path)!r}); _native.create_stream(2)")
    assert "sees 2 devices, and none with index 2" in text


def test_hip_names(fake_driver_path: Path, tmp_path: Path) -> None:
    """The same library under HIP's names serves the same calls."""
    exported = subprocess.run(
        ["nm", "-D", "--defined-only", str(fake_driver_path)],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    both = [(c, h) for c, h in entries() if c and h and c in exported]
    library = tmp_path / "libamdhip64.so"
    flags = [f"-Wl,--defsym={hip}={cuda}" for cuda, hip in both]
    sources = sorted(map(str, (TESTS / "fake_driver").glob("*.cpp")))
    subprocess.run(
        ["c++", "-std=c++17", "-O0", "-shared", "-fPIC", *sources, *flags, "-o", str(library),
         "-lpthread"],
        check=True,
    )  # fmt: skip
    text = run(
        "from accel_cuda import _native\n"
        f"_native.open_driver('hip', {str(library)!r})\n"
        "found = _native.describe_driver()\n"
        "assert found['vendor'] == 'hip' and found['missing'] == ['memcpy_kind_async'], found\n"
        "_native.set_device_properties(0, {'multiprocessors': 304, 'warp_size': 64})\n"
        "found = _native.device_properties(0)\n"
        "assert (found['multiprocessors'], found['warp_size']) == (304, 64)\n"
        "stream, seen = _native.create_stream(0, -1), []\n"
        "for i in range(100):\n"
        "    stream.add_callback(lambda i=i: seen.append(i))\n"
        "event = _native.create_event(0, timing=True)\n"
        "event.record(stream); event.synchronize(); stream.synchronize()\n"
        "assert seen == list(range(100))\n"
        "with _native.capture(stream) as graph:\n"
        "    stream.add_callback(lambda: seen.append('graph'))\n"
        "graph.replay(stream); stream.synchronize()\n"
        "assert seen[-1] == 'graph'\n"
        "try:\n"
        "    _native.function(_native.load_module(0, b'x'), 'no_such_kernel')\n"
        "except Exception as e:\n"
        "    print(e)\n"
    )
    assert text.startswith("hipModuleGetFunction failed: ")


def test_backend_on_a_given_driver(fake_driver_path: Path) -> None:
    """get_backend takes it, says that it is simulated, and shows why."""
    text = run(
        "import accel\n"
        "backend = accel.get_backend('cuda', device='cuda:1')\n"
        "assert backend.simulated and str(backend.device) == 'cuda:1'\n"
        "assert backend.streams.create().device == backend.device\n"
        "assert accel.get_backend() is accel.get_backend('cuda')\n"
        "print(accel.explain())\n",
        ACCEL_CUDA_DRIVER=str(fake_driver_path),
    )
    assert "2 simulated devices" in text
    assert "CUDA 13.0" in text


def test_a_bad_given_driver_is_no_reason_for_the_cpu() -> None:
    text = run(
        "import accel\n"
        "try:\n    accel.get_backend()\nexcept accel.PluginError as e:\n    print(e)\n",
        ACCEL_CUDA_DRIVER="/nowhere/libcuda.so",
    )
    assert "/nowhere/libcuda.so" in text
    assert "unset ACCEL_CUDA_DRIVER" in text


def test_the_end_waits_for_callbacks(fake_driver_path: Path) -> None:
    text = run(
        "import time\n"
        "from accel_cuda import _native\n"
        f"_native.open_driver('cuda', {str(fake_driver_path)!r})\n"
        "stream = _native.create_stream(0)\n"
        "for i in range(3):\n"
        "    stream.add_callback(lambda i=i: (time.sleep(0.05), print('ran', i)))\n"
        "print('end')\n"
    )
    assert text.split() == ["end", "ran", "0", "ran", "1", "ran", "2"]


def test_a_forked_child_ends_well(fake_driver_path: Path) -> None:
    text = run(
        "import os, threading\n"
        "from accel_cuda import _native\n"
        f"_native.open_driver('cuda', {str(fake_driver_path)!r})\n"
        "stream, opened = _native.create_stream(0), threading.Event()\n"
        "stream.add_callback(lambda: opened.wait(100))\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    raise SystemExit(0)\n"
        "print('child', os.waitpid(child, 0)[1])\n"
        "opened.set()\n"
    )
    assert text.split() == ["child", "0"]


def test_the_end_does_not_wait_for_a_lost_context(fake_driver_path: Path) -> None:
    text = run(
        "import ctypes, threading\n"
        "from accel_cuda import _native\n"
        f"path = {str(fake_driver_path)!r}\n"
        "_native.open_driver('cuda', path)\n"
        "stream = _native.create_stream(0)\n"
        "never = threading.Event()\n"
        "stream.add_callback(lambda: never.wait(100))\n"
        "ctypes.CDLL(path).accel_fake_fail(b'cuStreamQuery', 700, 0, -1)\n"
        "print('end')\n"
    )
    assert text.split() == ["end"]
