"""The scales of quantised keys and values: their shapes, and which numbers are scales at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

from ..errors import ArgumentError, DeviceError, DTypeError, FreedError, ShapeError

if TYPE_CHECKING:
    import torch

__all__ = ["Scales", "cache_scales", "check_scales", "token_scales"]

_CURE = "give what a code is multiplied by to get the value back"


@dataclass(frozen=True)
class Scales:
    """One side's scales, in the shape that the kernel indexes.

    Attributes:
        values: float32 ``[tokens, heads]`` or ``[layers, planes, heads]``, expanded (stride 0)
            along the axes that share a scale; the caller's memory where it was a tensor.
        per_head: whether heads have scales of their own.
    """

    values: torch.Tensor
    per_head: bool


def token_scales(
    argument: str, scale: float | torch.Tensor, tokens: int, heads: int, device: torch.device
) -> Scales:
    """The scales of ``write``: a number, or ``[]``, ``[1]``, ``[heads]``, ``[tokens, 1]``,
    ``[tokens, heads]``.

    Args:
        device: where a tensor must be; a number becomes a tensor on the host.

    Raises:
        DTypeError, ShapeError, DeviceError, FreedError: no such scale.
        ArgumentError: a number that is not finite and above 0.
    """
    t = _tensor(argument, scale, device)
    shapes: list[list[int]] = [[], [1], [heads], [tokens, 1], [tokens, heads]]
    if list(t.shape) not in shapes:
        expected = f"[], [1], [heads], [tokens, 1] or [tokens, heads] with {tokens} tokens and"
        raise ShapeError(argument, f"{expected} {heads} heads of the cache", list(t.shape))
    per_head = heads > 1 and t.dim() > 0 and t.shape[-1] == heads
    return Scales(t.expand(tokens, heads), per_head)


def cache_scales(
    argument: str,
    scale: float | torch.Tensor,
    layers: int,
    heads: Sequence[int],
    device: torch.device,
) -> Scales:
    """The scales of ``convert``: a number, or ``[]``, ``[planes]``, ``[planes, heads]``,
    ``[layers, planes, heads]``.

    Args:
        heads: of each plane. Scales by head need planes of as many heads.
        device: where a tensor must be; a number becomes a tensor on the host.

    Raises:
        DTypeError, ShapeError, DeviceError, FreedError: no such scale.
        ArgumentError: a number that is not finite and above 0.
    """
    t = _tensor(argument, scale, device)
    planes, alike = len(heads), len(set(heads)) == 1
    shapes: list[list[int]] = [[], [planes]]
    if alike:
        shapes += [[planes, heads[0]], [layers, planes, heads[0]]]
    if list(t.shape) not in shapes:
        listed = f"with {layers} layers, {planes} planes and {heads[0]} heads"
        expected = f"[], [planes], [planes, heads] or [layers, planes, heads] {listed}"
        if not alike:
            expected = f"[] or [planes] with {planes} planes, as their heads differ"
        raise ShapeError(argument, expected, list(t.shape))
    if t.dim() == 1:
        t = t.unsqueeze(-1)
    per_head = heads[0] > 1 and t.dim() > 1 and t.shape[-1] > 1
    return Scales(t.expand(layers, planes, heads[0] if alike else 1), per_head)


def check_scales(argument: str, scales: Scales, rows: torch.Tensor | None = None) -> None:
    """Raise ArgumentError unless the scales, in host memory, are finite and above 0.

    Args:
        rows: of the first axis; the others are not looked at. Every one if None.
    """
    import torch

    values = scales.values if rows is None else scales.values[rows]
    wrong = ~(torch.isfinite(values) & (values > 0))
    if wrong.any():
        at = wrong.nonzero()[0].tolist()
        value = float(values[tuple(at)])
        if rows is not None:
            at[0] = int(rows[at[0]])
        expected = "scales that are finite and above 0"
        raise ArgumentError(argument, expected, f"{value} at {at}", _CURE)


def _tensor(argument: str, scale: object, device: torch.device) -> torch.Tensor:
    """The caller's float32 tensor on ``device``, or one of a number, which is checked."""
    import torch

    if isinstance(scale, torch.Tensor):
        if scale.dtype != torch.float32:
            raise DTypeError(argument, "a number or a float32 tensor", scale.dtype)
        if scale.device != device:
            raise DeviceError(argument, f"a number, or a tensor on {device}", scale.device)
        scale = scale.detach()
        if scale.numel() and not scale.untyped_storage().nbytes():
            raise FreedError(argument, "a tensor that still has its memory", "a released storage")
        return scale
    if isinstance(scale, bool) or not isinstance(scale, Real):
        raise DTypeError(argument, "a number or a float32 tensor", type(scale).__name__)
    try:
        given = float(scale)
    except OverflowError:
        given = math.inf
    # What is too large or too small for float32 is no scale either.
    number = torch.tensor(given, dtype=torch.float64).float()
    if not torch.isfinite(number) or not number > 0:
        raise ArgumentError(argument, "a float32 number that is finite and above 0", scale, _CURE)
    return number
