"""Races planted in programs, and the same programs done right.

Without delays a simulated stream is fast enough for most races to go unnoticed. With them, each of
these shows within a few seeds, and the right program gives the right answer with every seed.
"""

from __future__ import annotations

from typing import Any

from accel_sim.torch_programs import check_races, check_right_programs


def test_planted_races_show_under_delays(npu: Any) -> None:
    check_races(npu, "npu")


def test_the_right_programs_without_delays(npu: Any) -> None:
    check_right_programs(npu(seed=1), "npu")
