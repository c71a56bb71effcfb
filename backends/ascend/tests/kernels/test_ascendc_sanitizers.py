"""Some of the kernels' tests once more, with the sources compiled for address and UB sanitizers."""

from __future__ import annotations

from pathlib import Path

from copy_harness import run_with_sanitizers

CASES = "odd_rows or large_tokens or skipped_and_recorded or number_of_units"


def test_with_sanitizers():
    run_with_sanitizers(Path(__file__).parent, CASES)
