"""Operators on the queue against torch's on the CPU, and how they run."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("operator_program.py")


def test_random_inputs(mlu: Any) -> None:
    """Every operator and layout, on queues that dawdle."""
    seed, examples = random.randrange(2**31), 8
    print(f"hypothesis seed {seed}")
    done = mlu(delay_us=20, strict=True).python(PROGRAM, str(seed), str(examples))
    assert int(done.last) > 40 * 4


def test_operators_run_on_the_queue(mlu: Any) -> None:
    """The host goes on while an operator has yet to run; the trace has the operator's name."""
    code = """
    import ctypes, threading, torch
    x = torch.ones(1 << 10, device="mlu")
    gate = threading.Event()
    hold = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: gate.wait() and None)
    assert ctypes.CDLL("libcnrt.so").cnrtInvokeHostFunc(None, hold, None) == 0
    y = torch.softmax((x + 1) @ x.expand(4, -1).T, -1)
    z = torch.nn.functional.layer_norm(x, (1 << 10,))
    print(torch.mlu.current_stream().query())
    gate.set()
    torch.mlu.synchronize()
    print(y.sum().item(), z.abs().max().item())
    """
    simulation = mlu(trace=True)
    assert simulation.python(code).lines == ["False", "1.0 0.0"]
    (trace,) = simulation.traces()
    names = trace.counts()
    assert any("aten_add" in name for name in names), names
    assert any("aten_native_layer_norm" in name for name in names), names


def test_everything_else_runs_on_the_host(mlu: Any) -> None:
    """Operators that are not listed, or whose results' shapes depend on values."""
    code = """
    import torch
    x = torch.tensor([[2.0, 1.0], [1.0, 3.0]], device="mlu")
    cpu = x.cpu()
    assert torch.allclose(torch.linalg.inv(x).cpu(), torch.linalg.inv(cpu))
    assert torch.equal(torch.unique(x).cpu(), torch.unique(cpu))
    assert torch.equal(torch.histc(x, 4).cpu(), torch.histc(cpu, 4))
    counts = torch.bincount(x.long().flatten())
    assert torch.equal(counts.cpu(), torch.bincount(cpu.long().flatten()))
    y = x.clone()
    assert torch.linalg.cholesky(x, out=y) is y
    assert torch.allclose((y @ y.T).cpu(), cpu)
    print("ok")
    """
    assert mlu(delay_us=100).python(code).last == "ok"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("torch.ones(3, device='mlu') + torch.ones(3)", "same device"),
        ("torch.ones(3, device='mlu') + torch.ones(4, device='mlu')", "must match the size"),
        ("torch.ones(2, 3, device='mlu') @ torch.ones(4, 2, device='mlu')", "be multiplied"),
        ("torch.empty(3, device='mlu', pin_memory=True)", "memory of the host"),
        ("torch.ones(3, device='mlu:7')", "expected 0 to 1, given 7"),
    ],
)
def test_wrong_arguments_are_refused_at_the_call(mlu: Any, code: str, message: str) -> None:
    program = f"""
    import torch
    try:
        {code}
    except RuntimeError as error:
        print(error)
    print(torch.ones(2, device="mlu").sum().item())
    """
    lines = mlu().python(program).lines
    assert message in " ".join(lines[:-1])
    assert lines[-1] == "2.0"


def test_conjugated_and_negated_tensors(mlu: Any) -> None:
    code = """
    import torch
    z = torch.randn(3, 4, dtype=torch.complex64)
    d = z.mlu()
    for f in (torch.conj, lambda t: t.conj().imag, lambda t: t.conj().T, lambda t: t.conj() * 2):
        expected = f(z).resolve_conj().resolve_neg()
        assert torch.equal(f(d).cpu().resolve_conj().resolve_neg(), expected)
        assert torch.equal(f(z).mlu().cpu().resolve_conj(), expected)
    target = torch.empty(3, 4, dtype=torch.complex64, device="mlu")
    target.conj().copy_(d)
    assert torch.equal(target.cpu(), z.conj().resolve_conj())
    assert torch.equal(torch.view_as_real(d).cpu(), torch.view_as_real(z))
    print("ok")
    """
    assert mlu(delay_us=100).python(code).last == "ok"
