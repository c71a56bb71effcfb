"""The simulated operators, reached through the real torch_npu, one process for many checks."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "native" / "opapi"


def test_operators_equal_the_cpu(npu: Any) -> None:
    """Every case of operator_cases.py, with fresh inputs, plain and as strided and offset views."""
    simulation = npu()
    found = json.loads(simulation.python(HERE / "operator_program.py", str(simulation.seed)).last)
    print(found["counts"])
    assert found["failures"] == []
    assert sum(found["counts"].values()) > 1500


def test_behaviour(npu: Any) -> None:
    fault = "call=aclnnErfinvGetWorkspaceSize,nth=1,code=561003"
    names = str(NATIVE / "aclnn_names.txt")
    done = npu(faults=[fault]).python(HERE / "behaviour_program.py", names)
    failed = json.loads(done.last)
    assert not failed, "\n".join(f"--- {name}\n{text}" for name, text in failed.items())


@pytest.mark.parametrize(
    ("line", "operator"),
    [
        ("x.index_select(0, torch.tensor([7], device='npu'))", "aclnnIndexSelect"),
        ("x.div_(2)", "aclnnInplaceDivs"),  # an integer tensor has no place for the result
    ],
)
def test_a_failing_body_surfaces_at_synchronise(npu: Any, line: str, operator: str) -> None:
    code = f"""
import torch
x = torch.arange(6, device="npu")
torch.npu.synchronize()
try:
    {line}
    print("queued", flush=True)
    torch.npu.synchronize()
except RuntimeError as error:
    print("raised", {operator!r} in str(error))
"""
    assert npu(delay_us=100).python(code).lines[-2:] == ["queued", "raised True"]


def test_list_of_names_has_all_of_the_wheel(npu: Any) -> None:
    npu()  # skips without torch-npu
    found = importlib.util.find_spec("torch_npu")
    assert found is not None and found.submodule_search_locations
    library = Path(found.submodule_search_locations[0]) / "lib" / "libtorch_npu.so"
    spec = importlib.util.spec_from_file_location("list_names", NATIVE / "list_names.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names = set((NATIVE / "aclnn_names.txt").read_text().split())
    assert set(module.operators(library.read_bytes())) <= names
    assert len(names) > 800
