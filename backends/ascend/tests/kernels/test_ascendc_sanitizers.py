"""Some of the kernels' tests once more, with the sources compiled for address and UB sanitizers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CASES = "odd_rows or large_tokens or skipped_and_recorded or number_of_units"


def test_with_sanitizers(harness):
    compiler = harness.compiler()
    if compiler is None:
        pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")
    found = [
        subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=False
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    if not all(os.path.isabs(path) for path in found):
        pytest.skip("the compiler has no sanitizer libraries")
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(found),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "ACCEL_ASCENDC_FLAGS": "-fsanitize=address,undefined -fno-sanitize-recover=undefined",
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", CASES, HERE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert " passed" in done.stdout
