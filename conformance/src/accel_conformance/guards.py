"""Buffers between guard bands: a write outside is seen at the end of the case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from accel import Backend

from .byte_compare import bytes_of, random_bytes

__all__ = ["GUARD_BYTES", "Guards", "Memory"]

#: Width of each band; a multiple of every alignment in use, so the tensor stays as aligned as it
#: would have been.
GUARD_BYTES = 512

#: Where a buffer lies: on the backend's device, in pageable host memory, in the pinned pool.
Memory = Literal["device", "host", "pinned"]


@dataclass
class _Band:
    name: str
    memory: torch.Tensor
    expected: torch.Tensor


class Guards:
    """The ``guarded`` fixture: allocates, poisons, and checks the bands when the case is over."""

    def __init__(self, backend: Backend, generator: torch.Generator) -> None:
        self._backend = backend
        self._generator = generator
        self._bands: list[_Band] = []

    def __call__(
        self,
        shape: int | Sequence[int],
        dtype: torch.dtype = torch.uint8,
        *,
        memory: Memory = "device",
        offset: int = 0,
        init: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """A contiguous tensor with a guard band on either side, full of random poison.

        Args:
            shape: its shape; an int is a number of elements (bytes, with the default dtype).
            memory: where it lies.
            offset: elements by which to shift it from its alignment.
            init: contents instead of poison, same shape and dtype.
        """
        extents = (shape,) if isinstance(shape, int) else tuple(shape)
        count = 1
        for extent in extents:
            count *= extent
        nbytes, shift = count * dtype.itemsize, offset * dtype.itemsize
        start = GUARD_BYTES + shift
        pad = -nbytes % 16  # keeps the second band's own start aligned
        poison = random_bytes((start + nbytes + GUARD_BYTES + pad,), torch.uint8, self._generator)
        if init is not None:
            poison[start : start + nbytes] = bytes_of(init)
        raw = self._allocate(poison.numel(), memory)
        raw.copy_(poison)
        name = f"{memory} buffer {len(self._bands) // 2} {list(extents)} {dtype}"
        end = start + nbytes
        self._bands += [
            _Band(f"before {name}", raw[:start], poison[:start].clone()),
            _Band(f"after {name}", raw[end:], poison[end:].clone()),
        ]
        return raw[start:end].view(dtype).reshape(extents)

    def check(self) -> None:
        """Fail if a byte of any band changed. The device must be idle."""
        for band in self._bands:
            given = bytes_of(band.memory)
            if not torch.equal(given, band.expected):
                wrong = (given != band.expected).nonzero().flatten()
                raise AssertionError(
                    f"guard band {band.name}: {wrong.numel()} bytes were written outside the"
                    f" buffer, from byte {int(wrong[0])} to {int(wrong[-1])} of the band"
                )

    def _allocate(self, nbytes: int, memory: Memory) -> torch.Tensor:
        make: dict[str, Callable[[], torch.Tensor]] = {
            "device": lambda: torch.empty(nbytes, dtype=torch.uint8, device=self._backend.device),
            "host": lambda: torch.empty(nbytes, dtype=torch.uint8),
            "pinned": lambda: self._backend.pinned.empty(nbytes, torch.uint8),
        }
        return make[memory]()
