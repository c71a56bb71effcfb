"""The native runtime under sanitizers: random graphs of work against a sequential oracle.

Builds tests/native/stream_stress.cpp with the runtime's sources. 10,000 graphs each with
ACCEL_SOAK=1, a tenth of that by default; ACCEL_STRESS_SEED repeats a run.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

RUNTIME = Path(__file__).resolve().parents[1] / "native" / "runtime"
GRAPHS = 10_000 if os.environ.get("ACCEL_SOAK") == "1" else 1_000


@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined", ""])
def test_random_graphs(native_program, sanitizer):
    program = native_program("stream_stress", sanitizer, together=sorted(RUNTIME.glob("*.cpp")))
    # Sanitizers keep freed memory for themselves.
    more = [] if sanitizer else ["check-resident-memory"]
    assert "all right" in program.run(GRAPHS, program.seed, *more, threads=2)
