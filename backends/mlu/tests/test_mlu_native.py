"""Opening CNRT: what is missing is named, with its cure. In programs of their own, as a library
that is open stays so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("accel_mlu._native", reason="needs accel-mlu's native part")

OPEN = """
import sys
from accel import BackendUnavailableError
from accel_mlu import _native
try:
    _native.open_cnrt(sys.argv[1:])
except BackendUnavailableError as error:
    print(error)
assert not _native.cnrt_is_open()
"""


def said(*names: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", OPEN, *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_library(tmp_path: Path) -> None:
    text = said(str(tmp_path / "libcnrt-1.so"), str(tmp_path / "libcnrt-2.so"))
    assert "Cambricon's libcnrt cannot be opened" in text
    assert "libcnrt-1.so" in text
    assert "libcnrt-2.so" in text
    assert "install Neuware" in text


def test_another_library() -> None:
    text = said("libc.so.6")
    assert "libc.so.6 lacks cnrtGetDeviceCount, cnrtSetDevice" in text
    assert "CNRT 6.0 or newer" in text
    assert "cnrtMemcpy2DAsync" not in text, "what 6.0 lacks is not asked for"
