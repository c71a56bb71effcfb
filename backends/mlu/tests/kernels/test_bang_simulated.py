"""The BANG C kernels end to end on the CNRT simulator, with its torch_mlu. Simulated: no result of
hardware.
"""

from __future__ import annotations

import pytest
from copy_simulated import *  # noqa: F403
from copy_simulated import Simulated, levels_without


@pytest.fixture
def vendor():
    return Simulated(
        simulator="cnrt",
        backend="mlu",
        device="mlu",
        variable="ACCEL_MLU_KERNELS",
        language="BANG C",
    )


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"ACCEL_MLU_KERNELS": "/nowhere"}, "accel build-kernels --backend mlu"),
        ({"ACCEL_MLU_KV_TIERS": "copies,operators"}, "switched off (ACCEL_MLU_KV_TIERS)"),
    ],
    ids=["no binary", "switched off"],
)
def test_why_there_are_none(vendor, device, variables, why):
    level, notes = levels_without(vendor, device, {"variables": variables})
    assert level != "NATIVE"
    assert any("no kernels on the device" in note and why in note for note in notes), notes
