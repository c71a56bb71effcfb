"""Tensors as bytes: data movement is exact, NaNs and all, so nothing else is compared."""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = ["assert_same_bytes", "bytes_of", "host_copy", "random_bytes"]


def bytes_of(tensor: torch.Tensor) -> torch.Tensor:
    """The elements in row-major order as a new flat uint8 tensor on the host.

    Runs on torch's current stream: synchronise with what wrote ``tensor`` first.
    """
    flat = tensor.detach().reshape(-1).contiguous()
    return flat.view(torch.uint8).to("cpu", copy=True)


def host_copy(tensor: torch.Tensor) -> torch.Tensor:
    """A copy on the host, also of what is there already: what a case then changes to expect it."""
    return tensor.detach().to("cpu", copy=True)


def random_bytes(
    shape: Sequence[int], dtype: torch.dtype, generator: torch.Generator
) -> torch.Tensor:
    """A host tensor of random bit patterns (NaNs, infinities and denormals included)."""
    count = 1
    for extent in shape:
        count *= extent
    raw = torch.randint(0, 256, (count * dtype.itemsize,), dtype=torch.uint8, generator=generator)
    if dtype == torch.bool:  # other bit patterns are no bools
        return (raw & 1).view(torch.bool).reshape(tuple(shape))
    return raw.view(dtype).reshape(tuple(shape))


def assert_same_bytes(actual: torch.Tensor, expected: torch.Tensor, what: str = "bytes") -> None:
    """Fail, saying where and how many, unless both hold the same bytes in row-major order."""
    got, wanted = bytes_of(actual), bytes_of(expected)
    if got.numel() != wanted.numel():
        raise AssertionError(f"{what}: expected {wanted.numel()} bytes, given {got.numel()}")
    if torch.equal(got, wanted):
        return
    wrong = (got != wanted).nonzero().flatten()
    first = int(wrong[0])
    raise AssertionError(
        f"{what}: {wrong.numel()} of {got.numel()} bytes differ, the first at {first}:"
        f" expected {int(wanted[first]):#04x}, given {int(got[first]):#04x}; the last at"
        f" {int(wrong[-1])}"
    )
