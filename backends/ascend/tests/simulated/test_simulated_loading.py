"""Who imports torch_npu, and when, makes no difference; and older CANN serves too. Simulated."""

from __future__ import annotations

from typing import Any

import pytest

USE = """
import torch
x = torch.arange(1000, dtype=torch.int32)
y = torch.empty(1000, dtype=torch.int32, device=backend.device)
backend.memcpy.copy(y, x)
back = backend.pinned.empty(1000, torch.int32)
backend.memcpy.copy(back, y)
assert torch.equal(back, x)
assert backend.probe.simulated and backend.name == "ascend"
print("right")
"""


@pytest.mark.parametrize("autoload", ["1", "0"])
@pytest.mark.parametrize(
    "first", ["", "import torch", "import torch, torch_npu"], ids=["accel", "torch", "torch_npu"]
)
def test_who_comes_first(simulation: Any, autoload: str, first: str) -> None:
    run = simulation("cann", variables={"TORCH_DEVICE_BACKEND_AUTOLOAD": autoload})
    source = f"{first}\nimport accel\nbackend = accel.get_backend()\n" + USE
    assert run.python(source).check().last == "right"


def test_a_device_by_its_number(simulation: Any) -> None:
    run = simulation("cann", devices=2, strict=True)
    source = "import accel\nbackend = accel.get_backend('ascend', device='npu:1')\n" + USE
    assert run.python(source).check().last == "right"


@pytest.mark.parametrize(("cann", "soc"), [("8.0", "910B"), ("8.3", "910B"), ("8.5", "310P")])
def test_older_cann_and_smaller_chips(simulation: Any, cann: str, soc: str) -> None:
    """Batches go one by one and say so; host callbacks come in the stream's order."""
    run = simulation("cann", cann=cann, soc=soc, strict=True, delay_us=200)
    source = (
        """
import warnings, torch, accel
backend = accel.get_backend("ascend")
"""
        + USE
        + """
stream = backend.streams.create()
src = torch.randint(-100, 100, (6, 500), dtype=torch.int32)
host = backend.pinned.empty((6, 500), torch.int32)
host.copy_(src)
device = torch.empty((6, 500), dtype=torch.int32, device="npu")
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    for _ in range(2):
        backend.memcpy.copy_batch(list(device), list(host), stream)
back = backend.pinned.empty((6, 500), torch.int32)
backend.memcpy.copy_async(back, device, stream)
sums = []
stream.add_callback(lambda: sums.append(int(back.sum())))
stream.synchronize()
assert torch.equal(back, src) and sums == [int(src.sum())], sums
print(sum("aclrtMemcpyBatchAsync" in str(w.message) for w in said))
"""
    )
    assert run.python(source).check().last == "1"


def test_explained(simulation: Any) -> None:
    """Whatever ran on the simulator says so."""
    run = simulation("cann")
    source = "import accel; accel.get_backend(); print(accel.explain())"
    said = run.python(source).check().stdout
    assert "simulated" in said
    assert "CANN simulator" in said
