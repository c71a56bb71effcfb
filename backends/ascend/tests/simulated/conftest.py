"""What every test here needs: torch_npu, for programs under the CANN simulator."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


@pytest.fixture(autouse=True)
def torch_npu_is_there() -> None:
    if find_spec("torch_npu") is None:
        pytest.skip("needs torch-npu, for use under the simulator")
