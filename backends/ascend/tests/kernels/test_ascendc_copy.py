"""The AscendC movement kernel through the stand-in: what every vendor's must do, and how units that
share aligned 32 bytes are divided among cores.
"""

from __future__ import annotations

import random

import copy_images
import pytest
from copy_cases import *  # noqa: F403


@pytest.mark.parametrize("target", ["L | K B S H D", "| B L K S H D", "K L | T H D"])
def test_odd_rows_are_spread_by_groups(runner, target):
    """Rows of 66 bytes share aligned 32 bytes with neighbours: whole groups go to one core."""
    sizes = {"heads": 1, "dim": 33, "blocks": 16, "size": 16}
    src, dst = runner.image("L | K B S H D", 20, **sizes), runner.image(target, 21, **sizes)
    rng = random.Random(22)
    done = runner.move(src, dst, copy_images.some_pairs(256, 256, 200, rng))
    assert done.one_core == 0
    assert done.most_cores > 1


def test_interleaved_groups_are_left_to_one_core(runner):
    """Blocks of 2-byte items whose bases are off: nothing can be divided."""
    sizes = {"heads": 1, "dim": 1, "blocks": 3, "size": 3, "layers": 5}
    src, dst = (
        runner.image("L | K B S H D", 23, **sizes),
        runner.image("K | T L H D", 24, skew=3, **sizes),
    )
    assert runner.move(src, dst, [(i, 8 - i) for i in range(9)]).one_core == 1
