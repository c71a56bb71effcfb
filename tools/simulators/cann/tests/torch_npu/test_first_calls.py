"""What a program may do first: nothing of torch_npu may depend on what came before."""

from __future__ import annotations

import json
from typing import Any

import pytest


def test_import_says_nothing(npu: Any) -> None:
    """A warning on stdout breaks programs that parse it; the modes must be no such warning."""
    done = npu().python("import torch, torch_npu; print(torch.npu.is_available())")
    assert done.lines == ["True"]


FIRST_CALLS = {
    "torch.npu.synchronize()": None,
    "torch.npu.device_count()": 3,
    "torch.npu.current_device()": 0,
    "torch.npu.mem_get_info(1)[1]": 512 << 20,
    "torch.npu.get_device_name(0)": "Ascend910B1",
    "torch.npu.current_stream().query()": True,
    "torch.npu.Event().query()": True,
    "torch.npu.Stream(device=1).synchronize()": None,
    "torch.arange(5, device='npu:2').sum().item()": 10,
    "torch.empty(9, pin_memory=True).is_pinned()": True,
    "torch.ones(3).to('npu', non_blocking=True).cpu().tolist()": [1.0, 1.0, 1.0],
}


def test_first_calls(npu: Any) -> None:
    """Each in a process that has only imported torch: forked before any use of the device."""
    code = f"""
    import json, os, torch

    for call in {list(FIRST_CALLS)!r}:
        child = os.fork()
        if child == 0:
            print(json.dumps([call, eval(call)]), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, call
    """
    lines = npu(devices=3, memory=512 << 20).python(code).lines
    assert dict(json.loads(line) for line in lines) == FIRST_CALLS


def test_data_loader(npu: Any) -> None:
    """Its pin-memory thread and its forked workers meet the device in their own ways."""
    code = """
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    torch.npu.synchronize()
    data = TensorDataset(torch.arange(64, dtype=torch.float32).reshape(32, 2))
    loader = DataLoader(data, batch_size=4, num_workers=2, pin_memory=True)
    total = torch.zeros(2, device="npu")
    for (batch,) in loader:
        assert batch.is_pinned()
        total += batch.to("npu", non_blocking=True).sum(0)
    print(total.tolist())
    """
    evens, odds = sum(range(0, 64, 2)), sum(range(1, 64, 2))
    assert npu(delay_us=50).python(code).last == str([float(evens), float(odds)])


def test_a_forked_child_that_uses_the_device_is_told(npu: Any) -> None:
    code = """
    import os, torch
    torch.ones(4, device="npu").sum().item()
    child = os.fork()
    if child == 0:
        try:
            torch.ones(4, device="npu")
        except RuntimeError as error:
            print("child:", type(error).__name__, "fork" in str(error), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print("parent:", torch.ones(4, device="npu").sum().item())
    """
    lines = npu().python(code).lines
    assert lines[0] == "child: RuntimeError True"
    assert lines[-1] == "parent: 4.0"


def test_visible_devices(npu: Any) -> None:
    done = npu(devices=4).python(
        "import torch; print(torch.npu.device_count(), torch.ones(2, device='npu:1').sum().item())",
        variables={"ASCEND_RT_VISIBLE_DEVICES": "3,1"},
    )
    assert done.last == "2 2.0"


@pytest.mark.parametrize("autoload", ["0", "1"])
def test_autoload(npu: Any, autoload: str) -> None:
    code = """
    import sys, torch
    before = hasattr(torch, "npu")
    import torch_npu
    print(before, torch.zeros(3, device="npu").device)
    """
    done = npu().python(code, variables={"TORCH_DEVICE_BACKEND_AUTOLOAD": autoload})
    assert done.last == f"{autoload == '1'} npu:0"


@pytest.mark.parametrize(
    ("cann", "soc"), [("8.0", "910B"), ("8.3", "910B"), ("8.5", "910B"), ("8.5", "310P")]
)
def test_poses(npu: Any, cann: str, soc: str) -> None:
    code = """
    import json, torch, torch_npu
    from torch_npu.npu.utils import get_cann_version
    print(json.dumps([get_cann_version(), torch.npu.get_device_name(0)]))
    source = torch.arange(1000, device="npu")
    assert torch.equal((source + 1).cpu(), torch.arange(1, 1001))
    """
    version, name = json.loads(npu(cann=cann, soc=soc).python(code).lines[0])
    # Old releases have no aclsysGetCANNVersion, and torch_npu then knows no version.
    assert version.startswith(cann) or (version == "" and cann == "8.0")
    assert soc in name
