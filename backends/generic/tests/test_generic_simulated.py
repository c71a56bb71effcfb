"""One row of the table on the simulated device of another vendor, renamed. Simulated."""

from __future__ import annotations

import sys
from typing import Any

import pytest

pytest.importorskip("accel_sim_cnrt", reason="needs accel-sim-cnrt")

NAME = "musa:torch_musa:mccl"

USE = """
import accel, torch
from accel import CapabilityError, Level, MemRef


def main():
    backend = accel.get_backend("musa")
    assert backend.probe.simulated and backend.device == torch.device("musa:0")
    assert type(backend.streams).__module__ == "accel_generic.streams"
    stream = backend.streams.create()
    values = torch.randn(3000)
    held = backend.pinned.empty(3000)
    held.copy_(values)
    x = torch.empty(3000, device="musa")
    back = backend.pinned.empty(3000)
    backend.streams.synchronize()
    for _ in range(20):
        backend.memcpy.copy_async(x, held, stream)
        with backend.streams.use(stream):
            x += 1
        backend.memcpy.copy_async(back, x, stream)
    stream.synchronize()
    assert torch.equal(back, values + 1)
    assert backend.capabilities["kv.transfer"] is Level.COMPOSED
    for unclaimed, call in (
        ("streams.callback", lambda: stream.add_callback(print)),
        ("memcpy.raw", lambda: backend.memcpy.fill(MemRef(x.data_ptr(), 4, x.device), 0)),
        ("pinned.register", lambda: backend.pinned.register(values)),
    ):
        assert unclaimed not in backend.capabilities
        try:
            call()
        except CapabilityError as error:
            assert unclaimed in str(error)
        else:
            raise AssertionError(unclaimed)
    print("listed", [c.name for c in accel.explain().candidates if c.name in ("musa", "gcu")])


if __name__ == "__main__":
    main()
"""


def test_a_row_is_enough(simulation: Any) -> None:
    run = simulation("cnrt", torch_name=NAME, strict=True, delay_us=300)
    assert run.python(USE).check().last == "listed ['musa']"


def test_conformance_of_a_row(simulation: Any) -> None:
    """Some of the suite at the levels that one device has."""
    run = simulation("cnrt", torch_name=NAME, strict=True, delay_us=50, devices=1)
    chosen = (
        "close_and_again or many_streams or reuse or refuse_overlap or copy_blocks_layout"
        " or swap_blocks_between"
    )
    suite = [sys.executable, "-m", "accel_conformance", "run", "--backend", "musa", "--quick"]
    done = run.run([*suite, "--level", "L0..L2", "-k", chosen, "--patience", "10"])
    assert "musa: conformant (simulated" in done.stdout
