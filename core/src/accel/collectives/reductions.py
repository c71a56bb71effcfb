"""Reductions of contributions, in rank order: the same bits on every rank and on every run.

float16 and bfloat16 are accumulated in float32 and rounded once. Integers wrap as torch's do.
bool: sum and max are logical or, prod and min logical and.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..errors import ArgumentError, DTypeError

__all__ = ["REDUCE_OPS", "Fold", "check_reduction"]

REDUCE_OPS = ("sum", "prod", "min", "max", "avg")

_WIDE = {torch.float16: torch.float32, torch.bfloat16: torch.float32}
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)

_COMBINE: dict[str, Callable[..., torch.Tensor]] = {
    "sum": torch.add,
    "avg": torch.add,
    "prod": torch.mul,
    "min": torch.minimum,
    "max": torch.maximum,
}
_COMBINE_BOOL: dict[str, Callable[..., torch.Tensor]] = {
    "sum": torch.logical_or,
    "max": torch.logical_or,
    "prod": torch.logical_and,
    "min": torch.logical_and,
}


def check_reduction(op: object, dtype: torch.dtype, argument: str) -> None:
    """Raise ArgumentError for an unknown op, DTypeError for one that ``dtype`` does not have."""
    if op not in REDUCE_OPS:
        raise ArgumentError("op", f"one of {', '.join(REDUCE_OPS)}", repr(op))
    if dtype in _FLOATS:
        return
    if dtype not in _INTEGERS and dtype is not torch.bool:
        raise DTypeError(
            argument,
            "a dtype that can be reduced: float16, bfloat16, float32, float64, int8, uint8, "
            "int16, int32, int64 or bool",
            dtype,
            "convert it first; other dtypes can only be moved",
        )
    if op == "avg":
        raise DTypeError(argument, "a floating dtype for avg", dtype, "use sum and divide")


class Fold:
    """Accumulates ``count`` contributions of one shape into ``out``. Add them in rank order.

    ``out`` may be one of the contributions: it is written when no other is left to read. A
    contribution that is ``scratch`` may be overwritten.
    """

    def __init__(self, op: str, out: torch.Tensor, count: int) -> None:
        self._average = op == "avg" and count > 1
        self._combine = (_COMBINE_BOOL if out.dtype is torch.bool else _COMBINE)[op]
        self._wide = _WIDE.get(out.dtype)
        self._out = out
        self._left = count
        self._count = count
        self._total: torch.Tensor | None = None
        self._own = False  # whether _total may be overwritten

    def add(self, contribution: torch.Tensor, *, scratch: bool) -> None:
        self._left -= 1
        if self._total is None:
            self._total, self._own = contribution, scratch
            if self._wide is not None and self._left:
                self._total, self._own = contribution.to(self._wide), True
        elif self._wide is None and not self._left:
            self._total = self._combine(self._total, contribution, out=self._out)
        elif self._own:
            self._combine(self._total, contribution, out=self._total)
        else:
            self._total, self._own = self._combine(self._total, contribution), True
        if not self._left:
            self._finish(self._total)

    def _finish(self, total: torch.Tensor) -> None:
        if self._average:
            total = total.div_(self._count)
        if total is not self._out:
            self._out.copy_(total)
