"""The reader of ELF symbols, against `nm`."""

from __future__ import annotations

import _ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from accel_sim.shared_objects import exported, undefined
from accel_sim_cann.simulator import operator_bindings

SOURCE = """
int defined(void) { return 1; }
__attribute__((weak)) int weak(void) { return 2; }
__attribute__((visibility("hidden"))) int hidden(void) { return 3; }
extern int wanted(void);
extern int perhaps(void) __attribute__((weak));
int caller(void) { return wanted() + (perhaps ? perhaps() : 0); }
int aclnnReal(void) { return 0; }
int aclnnRealGetWorkspaceSize(void) { return 0; }
__attribute__((weak)) int aclnnStub(void) { return 0; }
__attribute__((weak)) int aclnnStubGetWorkspaceSize(void) { return 0; }
int aclnnLonelyGetWorkspaceSize(void) { return 0; }
"""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc, gcc)")
    (tmp_path / "part.c").write_text(SOURCE)
    path = tmp_path / "libpart.so"
    words = [compiler, "-shared", "-fPIC", "-nostdlib", str(tmp_path / "part.c"), "-o", str(path)]
    subprocess.run(words, check=True)
    return path


def test_bindings(library: Path) -> None:
    symbols = exported(library)
    assert symbols["defined"] is False
    assert symbols["weak"] is True
    assert "hidden" not in symbols
    assert "wanted" in undefined(library)
    assert not {"perhaps", "defined"} & undefined(library)


def test_operators(library: Path) -> None:
    assert operator_bindings(library) == {"aclnnReal": False, "aclnnStub": True}


def test_against_nm() -> None:
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("nm is not installed")
    path = Path(_ctypes.__file__)
    words = [nm, "-D", "--defined-only", str(path)]
    listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    expected = {line.split()[-1].split("@")[0] for line in listed.splitlines()}
    assert exported(path).keys() == expected


def test_no_shared_object(tmp_path: Path) -> None:
    (tmp_path / "x.so").write_bytes(b"text")
    with pytest.raises(ValueError, match="64-bit little-endian ELF"):
        exported(tmp_path / "x.so")
