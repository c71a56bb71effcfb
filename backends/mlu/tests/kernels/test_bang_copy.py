"""The BANG C movement kernel through the stand-in: what every vendor's must do, and that no core is
left out where rows are not aligned.
"""

from __future__ import annotations

import random

import copy_images
import pytest
from copy_cases import *  # noqa: F403


@pytest.mark.parametrize("target", ["L | K B S H D", "K | T L H D"])
def test_odd_rows_are_spread_over_cores(runner, target):
    """Copies write to the byte: rows of 66 bytes need no groups."""
    sizes = {"heads": 1, "dim": 33, "blocks": 64, "size": 16, "layers": 5}
    src, dst = runner.image("L | K B S H D", 20, **sizes), runner.image(target, 21, **sizes)
    pairs = copy_images.some_pairs(1024, 1024, 1000, random.Random(22))
    done = runner.move(src, dst, pairs)
    assert done.one_core == 0
    assert done.most_cores > 1
