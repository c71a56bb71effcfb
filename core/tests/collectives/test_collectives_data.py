"""Every operation against expectations computed by one process, on 1, 2 and 4 ranks."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize("size", [1, 2, 4])
def test_operations_against_expectations(size: int, run_ranks: Callable[..., None]) -> None:
    run_ranks("program_data", size, at_least=30)
