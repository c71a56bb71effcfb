"""Defects of collectives. They run in ranks of their own, where this package is found as here."""

from __future__ import annotations

from typing import Any

import torch

from accel.errors import CollectiveError, CollectiveTimeoutError, StateError

from .defect import Defect
from .wrapping import WrappedCollectives

__all__ = ["DEFECTS"]


class _Communicator:
    """The good communicator; defects override a method."""

    timeout_factor = 1.0

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def _collectives(communicator: Any) -> Any:
    def make(self: Any, ranks: Any = None, *, timeout: float = 600.0, **options: Any) -> Any:
        limit = timeout * communicator.timeout_factor
        return communicator(self.inner.communicator(ranks, timeout=limit, **options))

    return type("BrokenCollectives", (WrappedCollectives,), {"communicator": make})


def _broken(**members: Any) -> Any:
    return _collectives(type("BrokenCommunicator", (_Communicator,), members))


def _avg_is_sum(self: Any, tensor: Any, op: str = "sum", **rest: Any) -> Any:
    return self.inner.all_reduce(tensor, "sum" if op == "avg" else op, **rest)


def _rounds_each_step(self: Any, tensor: Any, op: str = "sum", **rest: Any) -> Any:
    """A bfloat16 transport for float32."""
    work = self.inner.all_reduce(tensor, op, **rest)
    if isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float32:
        tensor.copy_(tensor.bfloat16())
    return work


def _reduces_everywhere(self: Any, tensor: Any, root: int, op: str = "sum", **rest: Any) -> Any:
    if not isinstance(tensor, torch.Tensor) or not 0 <= root < self.size:
        return self.inner.reduce(tensor, root, op, **rest)
    return self.inner.all_reduce(tensor, op, **rest)


def _next_root(self: Any, tensor: Any, root: int, **rest: Any) -> Any:
    good = isinstance(root, int) and 0 <= root < self.size
    return self.inner.broadcast(tensor, (root + 1) % self.size if good else root, **rest)


def _rotated(self: Any, output: Any, input: Any, **rest: Any) -> Any:
    work = self.inner.all_gather(output, input, **rest)
    if work is None:
        output.copy_(output.roll(1, 0))
    return work


def _into_a_copy(self: Any, output: Any, input: Any, **rest: Any) -> Any:
    contiguous = output.contiguous() if isinstance(output, torch.Tensor) else output
    return self.inner.all_gather(contiguous, input, **rest)


def _first_row(self: Any, output: Any, input: Any, root: int, **rest: Any) -> Any:
    if isinstance(input, torch.Tensor) and input.dim() and len(input) == self.size:
        input = input[:1].expand(input.shape).contiguous()
    return self.inner.scatter(output, input, root, **rest)


def _never_a_handle(self: Any, tensor: Any, op: str = "sum", async_op: bool = False) -> None:
    self.inner.all_reduce(tensor, op)


def _no_barrier(self: Any) -> None:
    self.inner._require_open("barrier")


def _tagless(name: str) -> Any:
    def call(self: Any, tensor: Any, peer: Any, tag: Any = 0) -> Any:
        return getattr(self.inner, name)(tensor, peer)

    return call


def _after_a_message(self: Any, tensor: Any, op: str = "sum", **rest: Any) -> Any:
    """Talks to the others before it looks at its arguments."""
    self.inner.barrier()
    return self.inner.all_reduce(tensor, op, **rest)


def _nameless(self: Any, tensor: Any, op: str = "sum", **rest: Any) -> Any:
    try:
        return self.inner.all_reduce(tensor, op, **rest)
    except CollectiveTimeoutError:
        raise CollectiveTimeoutError("it took too long") from None


def _other_error(self: Any, tensor: Any, op: str = "sum", **rest: Any) -> Any:
    try:
        return self.inner.all_reduce(tensor, op, **rest)
    except CollectiveError as error:
        raise RuntimeError(str(error)) from None


def _quiet_when_closed(self: Any) -> None:
    try:
        self.inner.barrier()
    except StateError:
        return


def _one_element_short(self: Any, tensor: Any, root: int, **rest: Any) -> Any:
    whole = isinstance(tensor, torch.Tensor) and tensor.dim() == 1 and tensor.numel() > 1000
    return self.inner.broadcast(tensor[:-1] if whole else tensor, root, **rest)


DEFECTS = (
    Defect(
        "avg-is-sum",
        ("L3-collectives::all_reduce[float32-avg-2]", "L3-collectives::all_reduce[float16-avg-4]"),
        collectives=_broken(all_reduce=_avg_is_sum),
    ),
    Defect(
        "reduced-coarsely", ("L3-collectives::all_reduce[float32-sum-2]",),
        collectives=_broken(all_reduce=_rounds_each_step),
    ),
    Defect(
        "reduce-everywhere", ("L3-collectives::reduce[int32-sum-2]",),
        collectives=_broken(reduce=_reduces_everywhere),
    ),
    Defect(
        "broadcast-from-the-next", ("L3-collectives::move[broadcast-int8-4]",),
        collectives=_broken(broadcast=_next_root),
    ),
    Defect(
        "broadcast-cut", ("L3-collectives::move[broadcast-float16-2]",),
        collectives=_broken(broadcast=_one_element_short),
    ),
    Defect(
        "gathered-rotated", ("L3-collectives::move[all_gather-bfloat16-2]",),
        collectives=_broken(all_gather=_rotated),
    ),
    Defect(
        "gathered-into-a-copy", ("L3-collectives::move[all_gather-float32-2]",),
        collectives=_broken(all_gather=_into_a_copy),
    ),
    Defect(
        "scattered-first-row", ("L3-collectives::move[scatter-int64-2]",),
        collectives=_broken(scatter=_first_row),
    ),
    Defect(
        "no-handle", ("L3-collectives::reduce_async[bfloat16-all_reduce-2]",),
        collectives=_broken(all_reduce=_never_a_handle),
    ),
    Defect(
        "barrier-open", ("L3-collectives::group[barrier-2]",),
        collectives=_broken(barrier=_no_barrier),
    ),
    Defect(
        "tags-ignored", ("L3-collectives::message_order[tags-2]",),
        collectives=_broken(**{n: _tagless(n) for n in ("send", "recv", "isend", "irecv")}),
    ),
    Defect(
        "checks-after-sending", ("L3-collectives::wrong_calls[one-rank-2]",),
        collectives=_broken(all_reduce=_after_a_message),
    ),
    Defect(
        "timeout-never", ("L3-collectives::missing_rank[all_reduce]",),
        collectives=_broken(timeout_factor=1e4),
    ),
    Defect(
        "timeout-nameless", ("L3-collectives::missing_rank[all_reduce]",),
        collectives=_broken(all_reduce=_nameless),
    ),
    Defect(
        "failure-untyped", ("L3-collectives::dead_peer[2-all_reduce-before]",),
        collectives=_broken(all_reduce=_other_error),
    ),
    Defect(
        "closed-in-silence", ("L3-collectives::closed[2]",),
        collectives=_broken(barrier=_quiet_when_closed),
    ),
)  # fmt: skip
