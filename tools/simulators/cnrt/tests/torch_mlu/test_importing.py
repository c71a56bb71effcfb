"""How the package comes into a program: with and without autoloading, renamed, refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accel_sim_cnrt.torch_device.names import VARIABLE, TorchName
from accel_sim_cnrt.torch_device.sites import real_package, site_folder


@pytest.mark.parametrize("autoload", ["0", "1"])
def test_autoload(mlu: Any, autoload: str) -> None:
    code = """
    import torch
    before = hasattr(torch, "mlu")
    import torch_mlu
    assert torch_mlu.__simulated__ and torch_mlu.mlu is torch.mlu
    print(before, torch.zeros(3, device="mlu").device, torch.zeros(2).mlu(1).device)
    """
    done = mlu().python(code, variables={"TORCH_DEVICE_BACKEND_AUTOLOAD": autoload})
    assert done.lines == [f"{autoload == '1'} mlu:0 mlu:1"]


def test_the_package_may_come_first(mlu: Any) -> None:
    done = mlu().python("import torch_mlu, torch; print(torch.ones(2, device='mlu').sum().item())")
    assert done.last == "2.0"


def test_first_calls_in_forked_children(mlu: Any) -> None:
    """Importing torch uses no device: each of these may be the first call of a fork."""
    calls = {
        "torch.mlu.synchronize()": None,
        "torch.mlu.device_count()": 3,
        "torch.mlu.current_device()": 0,
        "torch.mlu.mem_get_info(1)[1]": 512 << 20,
        "torch.mlu.current_stream().query()": True,
        "torch.mlu.Event().query()": True,
        "torch.arange(5, device='mlu:2').sum().item()": 10,
        "torch.empty(9, pin_memory=True).is_pinned()": True,
        "torch.accelerator.current_accelerator().type": "mlu",
        "torch.mlu.get_device_name(2)": "MLU370",
    }
    code = f"""
    import json, os, torch
    for call in {list(calls)!r}:
        child = os.fork()
        if child == 0:
            print(json.dumps([call, eval(call)]), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, call
    """
    lines = mlu(devices=3, memory=512 << 20, chip="mlu370").python(code).lines
    assert dict(json.loads(line) for line in lines) == calls


def test_renamed(mlu: Any) -> None:
    """Another vendor's names: the package, the namespace, the properties and the messages."""
    simulation = mlu(torch_name="musa:torch_musa:mccl")
    code = """
    import torch, torch_musa
    x = torch.ones(3, device="musa:1")
    assert x.is_musa and torch_musa.__simulated__
    stream = torch.musa.Stream()
    assert stream.musa_stream and "mlu" not in repr(stream)
    event = stream.record_event()
    assert event.musa_event
    try:
        import torch_mlu
    except ImportError as error:
        print(error)
    print(torch.get_device_module("musa").__name__ == torch.musa.__name__, (x + 1).sum().item())
    """
    for autoload in ("0", "1"):
        done = simulation.python(code, variables={"TORCH_DEVICE_BACKEND_AUTOLOAD": autoload})
        assert done.lines[-2] == "No module named 'torch_mlu'"
        assert done.last == "True 6.0"


def test_outside_of_the_simulator_it_says_what_to_do() -> None:
    folder = site_folder(TorchName())
    environment = {**os.environ, "PYTHONPATH": str(folder), "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    environment.pop("LD_LIBRARY_PATH", None)
    environment.pop(VARIABLE, None)
    done = subprocess.run(
        [sys.executable, "-c", "import torch_mlu"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "accel-sim cnrt run" in done.stderr


def test_a_real_package_is_not_hidden(mlu: Any, tmp_path: Path) -> None:
    real = tmp_path / "torch_mlu"
    real.mkdir()
    (real / "__init__.py").write_text("raise SystemExit('the real one')\n", encoding="utf-8")
    assert real_package("torch_mlu", [str(tmp_path)]) == real
    assert real_package("torch_mlu", [str(site_folder(TorchName()))]) is None
    simulation = mlu()
    path = os.pathsep.join([simulation.environment["PYTHONPATH"], str(tmp_path)])
    done = simulation.python(
        "import torch_mlu",
        check=False,
        variables={"PYTHONPATH": path, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"},
    )
    assert done.returncode != 0
    assert f"{real} is a real torch_mlu" in done.stderr


def test_names_that_are_none() -> None:
    with pytest.raises(ValueError, match="musa:torch_musa:mccl"):
        TorchName.parse("musa:torch-musa")
    assert TorchName.parse("") == TorchName("mlu", "torch_mlu", "cncl")
