"""What every vendor's device of torch must give: order, a guard, races that show, training."""

from __future__ import annotations

from typing import Any

from accel_sim.torch_programs import (
    check_guard,
    check_order,
    check_races,
    check_right_programs,
    check_training,
)


def test_order_and_guard(mlu: Any) -> None:
    check_order(mlu(delay_us=200, strict=True), "mlu")
    check_guard(mlu(), "mlu")


def test_races_show_and_right_programs_are_right(mlu: Any) -> None:
    check_races(mlu, "mlu")
    check_right_programs(mlu(seed=1), "mlu")


def test_training_equals_the_cpus(mlu: Any) -> None:
    check_training(mlu(delay_us=50), "mlu")
