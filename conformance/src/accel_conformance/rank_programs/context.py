"""What a program works with on its rank: the backend, a communicator, and reproducible data."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch

import accel
from accel.providers import Communicator

__all__ = ["FORMS", "PROGRAMS", "Buffer", "Context", "SkipProgram", "program"]

PROGRAMS: dict[str, Callable[..., None]] = {}

#: How a tensor lies in memory.
FORMS = ("plain", "offset", "strided", "transposed", "padded-rows")

_INTS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_MARGIN = 24
#: The time limit of a communicator that nothing is meant to go wrong on.
PATIENT_SECONDS = 20.0


class SkipProgram(Exception):
    """Raised by a program that cannot run here, with the reason."""


def program(function: Callable[..., None]) -> Callable[..., None]:
    """Register a program under its name."""
    PROGRAMS[function.__name__] = function
    return function


class Context:
    """One rank of a world.

    Attributes:
        rank, size: within the world.
        backend, device: on this rank.
    """

    def __init__(self, request: dict[str, Any]) -> None:
        torch.set_num_threads(1)
        self.rank: int = request["rank"]
        self.size: int = request["size"]
        world = {
            "RANK": self.rank, "WORLD_SIZE": self.size, "LOCAL_RANK": self.rank,
            "LOCAL_WORLD_SIZE": self.size, "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": request["port"],
        }  # fmt: skip
        for name, value in world.items():
            if request["world"] == "none":
                os.environ.pop(name, None)
            else:
                os.environ[name] = str(value)
        self.backend = accel.get_backend(request["backend"], self._device(request))
        self.device = self.backend.device
        if request["world"] == "adopted":
            torch.distributed.init_process_group("gloo")
        self._comm: Communicator | None = None
        self._seed = 0
        self._buffers: list[Buffer] = []

    def _device(self, request: dict[str, Any]) -> str | None:
        name, chosen = request["backend"], request["device"]
        for report in accel.explain().candidates:
            if report.name == name and report.device_type not in (None, "cpu"):
                return f"{report.device_type}:{self.rank % max(1, report.device_count)}"
        return None if chosen is None else str(chosen)

    @property
    def comm(self) -> Communicator:
        """A communicator of all ranks, kept from program to program."""
        if self._comm is None:
            self._comm = self.communicator()
        return self._comm

    def communicator(
        self, ranks: Sequence[int] | None = None, timeout: float = PATIENT_SECONDS, **options: Any
    ) -> Communicator:
        """A new communicator; all ranks of the world make it together."""
        return self.backend.collectives.communicator(ranks, timeout=timeout, **options)

    def begin(self, seed: int) -> None:
        """Before each program."""
        self._seed = seed
        self._buffers = []

    def end(self) -> None:
        """After each program: nothing was written outside the buffers."""
        for buffer in self._buffers:
            buffer.check_margins()

    def close(self) -> None:
        """Leave the world."""
        if self._comm is not None:
            self._comm.close()

    def generator(self, rank: int, *label: object) -> torch.Generator:
        """The generator of some rank's data: every rank can make every rank's."""
        text = f"{self._seed}/{rank}/" + "/".join(map(str, label))
        digest = hashlib.sha256(text.encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)

    def noise(
        self, rank: int, shape: Sequence[int], dtype: torch.dtype, *label: object
    ) -> torch.Tensor:
        """Random bytes as some rank has them, on the host: NaNs included."""
        count = int(torch.Size(shape).numel())
        raw = torch.randint(
            256, (count * dtype.itemsize,), dtype=torch.uint8,
            generator=self.generator(rank, "noise", *label),
        )  # fmt: skip
        return raw.view(dtype).reshape(tuple(shape))

    def numbers(
        self, rank: int, shape: Sequence[int], dtype: torch.dtype, *label: object
    ) -> torch.Tensor:
        """Numbers as some rank has them, on the host, that can be reduced without overflow."""
        generator = self.generator(rank, "numbers", *label)
        if dtype.is_floating_point:
            return torch.randn(tuple(shape), generator=generator).to(dtype)
        return torch.randint(-3, 4, tuple(shape), generator=generator).to(dtype)

    def place(self, values: torch.Tensor, form: str = "plain") -> Buffer:
        """``values`` on this rank's device, lying as ``form`` says."""
        buffer = Buffer(values, form, self.device, self.generator(self.rank, len(self._buffers)))
        self._buffers.append(buffer)
        return buffer

    def poison(self, shape: Sequence[int], dtype: torch.dtype, form: str = "plain") -> Buffer:
        """A buffer to be written."""
        return self.place(self.noise(self.rank, shape, dtype, "poison", len(self._buffers)), form)


class Buffer:
    """A tensor on the device and the memory around it."""

    def __init__(
        self, values: torch.Tensor, form: str, device: torch.device, generator: torch.Generator
    ) -> None:
        kind = _INTS[values.element_size()]
        strides, step = [0] * values.dim(), 2 if form == "strided" else 1
        order = range(values.dim()) if form == "transposed" else reversed(range(values.dim()))
        for axis in order:
            strides[axis] = step
            step = step * values.shape[axis] + (3 if form == "padded-rows" else 0)
        reach = sum((n - 1) * s for n, s in zip(values.shape, strides, strict=True) if n)
        lead = _MARGIN + (5 if form == "offset" else 0)
        nbytes = (lead + reach + 1 + _MARGIN) * values.element_size()
        whole = torch.randint(256, (nbytes,), dtype=torch.uint8, generator=generator)
        self._inside = torch.zeros(nbytes // values.element_size(), dtype=torch.bool)
        self._where = (tuple(values.shape), strides, lead)
        self._inside.as_strided(*self._where).fill_(True)
        whole.view(kind).as_strided(*self._where).copy_(values.view(kind))
        self._kind = kind
        self._before = whole.view(kind)[~self._inside].clone()
        self._whole = whole.to(device)
        self.tensor = self._whole.view(values.dtype).as_strided(*self._where)

    def now(self) -> torch.Tensor:
        """Its contents, contiguous on the host."""
        whole = self._whole.cpu().view(self._kind).as_strided(*self._where).contiguous()
        return whole.view(self.tensor.dtype)

    def bits(self) -> torch.Tensor:
        """Its contents as integers."""
        return self.now().view(self._kind)

    def expect(self, values: torch.Tensor, what: str) -> None:
        """Fail unless it holds exactly these bytes."""
        want = values.contiguous().view(self._kind)
        have = self.bits()
        assert have.shape == want.shape, f"{what}: {have.shape} against {want.shape}"
        wrong = (have != want).nonzero()
        assert not len(wrong), (
            f"{what}: {len(wrong)} of {want.numel()} elements are wrong, the first at "
            f"{wrong[0].tolist()}"
        )

    def check_margins(self) -> None:
        """Fail if memory around or between the elements changed."""
        now = self._whole.cpu().view(self._kind)[~self._inside]
        wrong = int((now != self._before).sum())
        assert not wrong, f"{wrong} elements outside a tensor of {self._where} were written"
