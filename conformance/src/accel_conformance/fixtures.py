"""What a case can ask for. The public interface of the suite to its cases: kept stable.

A case is a function of a module in ``accel_conformance.cases``::

    @case(level=1, needs=[Capability.COPY])
    @pytest.mark.parametrize("nbytes", [0, 1, 15, 4095])
    def test_sizes(
        backend: Backend, guarded: Guards, random_tensor: RandomTensor, nbytes: int
    ) -> None:
        '''One line, shown by `accel-conformance list`.'''
        src = random_tensor(nbytes, torch.uint8)
        dst = guarded(nbytes)
        backend.memcpy.copy(dst, src)
        assert_same_bytes(dst, src)

When a case is over, in this order and as part of it: gates are opened, the device is synchronised
(an AsyncError nobody asked for fails the case), gates and guard bands are checked.

Also for cases: ``accel_conformance.byte_compare`` (``assert_same_bytes``, ``bytes_of``,
``random_bytes``) and ``accel_conformance.refusals.assert_untouched``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import pytest
import torch

import accel
from accel import Backend

from .byte_compare import bytes_of, random_bytes
from .gates import Gate, Gates
from .guards import Guards
from .running import END_OF_CASE, RunOptions, item_case_id, run_options
from .seeds import case_seed

__all__ = [
    "Effort",
    "Gate",
    "Gates",
    "Guards",
    "RandomTensor",
    "ReportProperty",
]


class RandomTensor(Protocol):
    """The ``random_tensor`` fixture."""

    def __call__(
        self,
        shape: int | Sequence[int],
        dtype: torch.dtype = torch.uint8,
        *,
        device: torch.device | str | None = None,
    ) -> torch.Tensor:
        """A contiguous tensor of random bit patterns (NaNs included) on the backend's device.

        Args:
            device: another place, such as ``"cpu"`` for pageable host memory.
        """


class Effort(Protocol):
    """The ``effort`` fixture."""

    def __call__(self, full: int, quick: int) -> int:
        """``quick`` under ``--quick``, else ``full``."""


#: The ``report_property`` fixture: ``report_property("copy_us", 1.9)`` puts a figure in the report.
ReportProperty = Callable[[str, object], None]


@pytest.fixture(scope="session")
def run(request: pytest.FixtureRequest) -> RunOptions:
    """The options of this run: backend name, device, seed, quick."""
    return run_options(request.config)


@pytest.fixture(scope="session")
def backend(run: RunOptions) -> Backend:
    """The backend under test, on this worker's device."""
    return accel.get_backend(run.backend, run.device)


@pytest.fixture(scope="session")
def device(backend: Backend) -> torch.device:
    """The device under test."""
    return backend.device


@pytest.fixture(scope="session")
def oracle() -> Backend:
    """The plain-torch reference on the CPU, ``get_backend("cpu-reference")``: takes CPU tensors."""
    return accel.get_backend("cpu-reference")


@pytest.fixture
def seed(request: pytest.FixtureRequest, run: RunOptions) -> int:
    """This case's seed: from the run's seed and the case's id."""
    return case_seed(run.seed, item_case_id(request.node))


@pytest.fixture
def rng(seed: int) -> torch.Generator:
    """A CPU generator seeded for this case."""
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def random_tensor(backend: Backend, rng: torch.Generator) -> RandomTensor:
    """``random_tensor(shape, dtype)``: random bit patterns on the device."""

    def make(
        shape: int | Sequence[int],
        dtype: torch.dtype = torch.uint8,
        *,
        device: torch.device | str | None = None,
    ) -> torch.Tensor:
        extents = (shape,) if isinstance(shape, int) else tuple(shape)
        where = backend.device if device is None else torch.device(device)
        return random_bytes(extents, dtype, rng).to(where)

    return make


@pytest.fixture
def guarded(request: pytest.FixtureRequest, backend: Backend, rng: torch.Generator) -> Guards:
    """``guarded(shape, dtype, memory=..., offset=..., init=...)``: poison between guard bands."""
    guards = Guards(backend, rng)
    request.node.stash[END_OF_CASE].checks.append(guards.check)
    return guards


@pytest.fixture
def gate(request: pytest.FixtureRequest, backend: Backend, run: RunOptions) -> Iterator[Gates]:
    """``gate(stream)``: hold a created stream incomplete until ``.open()`` or the case's end."""
    gates = Gates(backend, run.patience)
    request.node.stash[END_OF_CASE].releases.append(gates.open_all)
    request.node.stash[END_OF_CASE].checks.append(gates.check)
    request.node.stash[END_OF_CASE].excuses.append(gates.expired)
    yield gates
    gates.open_all()


@pytest.fixture
def to_host() -> Callable[[torch.Tensor], torch.Tensor]:
    """``to_host(t)``: a contiguous copy in host memory, made by torch, not by the backend.

    Runs on torch's current stream: synchronise the stream that wrote ``t`` first.
    """

    def copy(tensor: torch.Tensor) -> torch.Tensor:
        return bytes_of(tensor).view(tensor.dtype).reshape(tensor.shape)

    return copy


@pytest.fixture
def peer(backend: Backend, run: RunOptions) -> Backend:
    """The same backend on another device; skips where there is only one."""
    count = backend.probe.device_count
    if count < 2:
        pytest.skip(f"needs two devices, {count} here")
    index = ((backend.device.index or 0) + 1) % count
    return accel.get_backend(run.backend, f"{backend.device.type}:{index}")


@pytest.fixture
def effort(run: RunOptions) -> Effort:
    """``effort(full, quick)``: how many rounds to do."""

    def choose(full: int, quick: int) -> int:
        return quick if run.quick else full

    return choose


@pytest.fixture
def report_property(record_property: Callable[[str, object], None]) -> ReportProperty:
    """``report_property(name, value)``: a figure for the report; never decides an outcome."""

    def record(name: str, value: object) -> None:
        record_property(f"accel.figure.{name}", value)

    return record
