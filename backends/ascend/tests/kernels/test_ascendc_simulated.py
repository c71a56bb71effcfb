"""The AscendC kernels end to end on the CANN simulator, beside the real torch_npu. Simulated: no
result of hardware.
"""

from __future__ import annotations

import pytest
from copy_simulated import *  # noqa: F403
from copy_simulated import Simulated, levels_without


@pytest.fixture
def vendor():
    return Simulated(
        simulator="cann",
        backend="ascend",
        device="npu",
        variable="ACCEL_ASCEND_KERNELS",
        language="AscendC",
        package="torch_npu",
        cure="`make conformance-ascend` installs it",
    )


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"variables": {"ACCEL_ASCEND_KERNELS": "/nowhere"}}, "accel build-kernels"),
        ({"cann": "8.0"}, "aclrtBinaryLoadFromFile"),
        ({"soc": "310P"}, "DataCopyPad"),
    ],
    ids=["no binary", "CANN 8.0", "310P"],
)
def test_why_there_are_none(vendor, device, options, why):
    level, notes = levels_without(vendor, device, options)
    assert level != "NATIVE"
    assert any("no kernels on the device" in note and why in note for note in notes), notes
