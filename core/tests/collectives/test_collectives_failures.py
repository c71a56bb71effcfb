"""What goes wrong raises typed errors, in time, and ends no process."""

from __future__ import annotations

from collections.abc import Callable


def test_failures_raise_in_time_and_end_no_process(run_ranks: Callable[..., None]) -> None:
    # Rank 2 ends itself in the last check, and must have come that far.
    run_ranks("program_failures", 3, at_least=35, expected_exit=[0, 0, 9])
