"""What all communicators share: identity, argument checks, and the state after a failure."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..errors import (
    AccelWarning,
    ArgumentError,
    CollectiveError,
    DTypeError,
    ShapeError,
    StateError,
)
from ..providers.collectives import P2POp, ReduceOp, Work
from .checks import (
    check_gathered,
    check_peer,
    check_rank,
    check_row_counts,
    check_same_dtype,
    check_tag,
    check_tensor,
    ranges_overlap,
)
from .reductions import check_reduction

__all__ = ["Leg", "TorchCommunicator"]

Tensor = torch.Tensor


class Leg:
    """One checked leg of a batch."""

    __slots__ = ("kind", "peer", "tag", "tensor")

    def __init__(self, kind: str, tensor: Tensor, peer: int, tag: int) -> None:
        self.kind = kind
        self.tensor = tensor
        self.peer = peer
        self.tag = tag


class TorchCommunicator:
    """A :class:`accel.providers.Communicator` over a torch.distributed process group.

    Every public method checks its arguments on the calling rank and hands checked tensors to the
    method of the same name with an underscore, which a subclass implements for its transport.
    ``world_ranks`` are the group's ranks in the world; ``rank`` is -1 on a rank outside the group,
    which holds a communicator that is closed from the start.
    """

    def __init__(
        self,
        *,
        rank: int,
        world_ranks: Sequence[int],
        device: torch.device,
        channel: str,
        timeout: float,
        release: Callable[[], None] | None = None,
    ) -> None:
        self._rank = rank
        self._world_ranks = tuple(world_ranks)
        self._device = device
        self._channel = channel
        self._timeout = timeout
        self._release = release
        self._state = threading.RLock()
        self._closed = ""  # why later calls are refused
        self._failure: CollectiveError | None = None
        self._failure_seen = False
        self._sequence = 0

    # --- identity

    @property
    def rank(self) -> int:
        return self._rank

    @property
    def size(self) -> int:
        return len(self._world_ranks)

    @property
    def ranks(self) -> tuple[int, ...]:
        """The members' ranks in the world."""
        return self._world_ranks

    @property
    def device(self) -> torch.device:
        """Where the tensors of all calls live."""
        return self._device

    @property
    def channel(self) -> str:
        return self._channel

    @property
    def timeout(self) -> float:
        return self._timeout

    def __repr__(self) -> str:
        state = f", closed: {self._closed}" if self._closed else ""
        return (
            f"<{type(self).__name__} rank {self._rank} of {self.size} on {self._device} "
            f"by {self._channel}{state}>"
        )

    # --- collectives

    def all_reduce(
        self, tensor: Tensor, op: ReduceOp = "sum", *, async_op: bool = False
    ) -> Work | None:
        self._require_open("all_reduce")
        tensor = self._check("tensor", tensor, written=True)
        check_reduction(op, tensor.dtype, "tensor")
        return self._all_reduce(tensor, op, async_op)

    def broadcast(self, tensor: Tensor, root: int, *, async_op: bool = False) -> Work | None:
        self._require_open("broadcast")
        root = check_rank("root", root, self.size)
        tensor = self._check("tensor", tensor, written=root != self._rank)
        return self._broadcast(tensor, root, async_op)

    def reduce(
        self, tensor: Tensor, root: int, op: ReduceOp = "sum", *, async_op: bool = False
    ) -> Work | None:
        self._require_open("reduce")
        root = check_rank("root", root, self.size)
        tensor = self._check("tensor", tensor, written=root == self._rank)
        check_reduction(op, tensor.dtype, "tensor")
        return self._reduce(tensor, root, op, async_op)

    def all_gather(self, output: Tensor, input: Tensor, *, async_op: bool = False) -> Work | None:
        self._require_open("all_gather")
        output, input = self._check_pair(output, input)
        check_gathered("output", output, input, self.size)
        return self._all_gather(output, _apart(input, output), async_op)

    def reduce_scatter(
        self, output: Tensor, input: Tensor, op: ReduceOp = "sum", *, async_op: bool = False
    ) -> Work | None:
        self._require_open("reduce_scatter")
        output, input = self._check_pair(output, input)
        check_gathered("input", input, output, self.size)
        check_reduction(op, input.dtype, "input")
        return self._reduce_scatter(output, _apart(input, output), op, async_op)

    def all_to_all(
        self,
        output: Tensor,
        input: Tensor,
        output_splits: Sequence[int] | None = None,
        input_splits: Sequence[int] | None = None,
        *,
        async_op: bool = False,
    ) -> Work | None:
        self._require_open("all_to_all")
        output, input = self._check_pair(output, input)
        received = check_row_counts("output", output, output_splits, self.size)
        sent = check_row_counts("input", input, input_splits, self.size)
        if output.shape[1:] != input.shape[1:]:
            raise _row_shape_error(output, input)
        if received[self._rank] != sent[self._rank]:
            raise ArgumentError(
                f"output_splits[{self._rank}]",
                f"{sent[self._rank]} rows, what this rank sends itself by input_splits",
                received[self._rank],
            )
        return self._all_to_all(output, _apart(input, output), received, sent, async_op)

    def gather(
        self, output: Tensor | None, input: Tensor, root: int, *, async_op: bool = False
    ) -> Work | None:
        self._require_open("gather")
        root = check_rank("root", root, self.size)
        if not self._only_on_root("output", output, root):
            input = self._check("input", input, written=False)
            return self._gather(None, input, root, async_op)
        output, input = self._check_pair(output, input)
        check_gathered("output", output, input, self.size)
        return self._gather(output, _apart(input, output), root, async_op)

    def scatter(
        self, output: Tensor, input: Tensor | None, root: int, *, async_op: bool = False
    ) -> Work | None:
        self._require_open("scatter")
        root = check_rank("root", root, self.size)
        if not self._only_on_root("input", input, root):
            output = self._check("output", output, written=True)
            return self._scatter(output, None, root, async_op)
        output, input = self._check_pair(output, input)
        check_gathered("input", input, output, self.size)
        return self._scatter(output, _apart(input, output), root, async_op)

    def barrier(self) -> None:
        self._require_open("barrier")
        self._barrier()

    # --- point to point

    def send(self, tensor: Tensor, peer: int, tag: int = 0) -> None:
        self._require_open("send")
        self._point_to_point([self._leg("send", tensor, peer, tag)], "send").wait()

    def recv(self, tensor: Tensor, peer: int, tag: int = 0) -> None:
        self._require_open("recv")
        self._point_to_point([self._leg("recv", tensor, peer, tag)], "recv").wait()

    def isend(self, tensor: Tensor, peer: int, tag: int = 0) -> Work:
        self._require_open("isend")
        return self._point_to_point([self._leg("send", tensor, peer, tag)], "isend")

    def irecv(self, tensor: Tensor, peer: int, tag: int = 0) -> Work:
        self._require_open("irecv")
        return self._point_to_point([self._leg("recv", tensor, peer, tag)], "irecv")

    def batch(self, ops: Sequence[P2POp]) -> Work:
        self._require_open("batch")
        if isinstance(ops, P2POp) or not isinstance(ops, Sequence):
            raise DTypeError("ops", "a sequence of P2POp", type(ops).__name__)
        legs = []
        for i, op in enumerate(ops):
            if not isinstance(op, P2POp):
                raise DTypeError(f"ops[{i}]", "a P2POp", type(op).__name__)
            if op.kind not in ("send", "recv"):
                raise ArgumentError(f"ops[{i}].kind", "'send' or 'recv'", repr(op.kind))
            tensor = self._check(f"ops[{i}].tensor", op.tensor, written=op.kind == "recv")
            peer = check_rank(f"ops[{i}].peer", op.peer, self.size)
            legs.append(Leg(op.kind, tensor, peer, check_tag(f"ops[{i}].tag", op.tag)))
        return self._point_to_point(self._to_itself(legs), "batch")

    def _leg(self, kind: str, tensor: Any, peer: Any, tag: Any) -> Leg:
        tensor = self._check("tensor", tensor, written=kind == "recv")
        return Leg(
            kind, tensor, check_peer("peer", peer, self._rank, self.size), check_tag("tag", tag)
        )

    def _to_itself(self, legs: list[Leg]) -> list[Leg]:
        """Do the legs from this rank to itself, after checking that they pair up."""
        own = [(i, leg) for i, leg in enumerate(legs) if leg.peer == self._rank]
        sends = [(i, leg) for i, leg in own if leg.kind == "send"]
        pairs = []
        for i, receive in ((i, leg) for i, leg in own if leg.kind == "recv"):
            match = next((s for s in sends if s[1].tag == receive.tag), None)
            if match is None:
                raise ArgumentError(
                    f"ops[{i}]", "a send to this rank with the same tag in the batch", "none"
                )
            sends.remove(match)
            sent = match[1].tensor
            if sent.shape != receive.tensor.shape or sent.dtype != receive.tensor.dtype:
                raise ArgumentError(
                    f"ops[{i}].tensor",
                    f"what ops[{match[0]}] sends: {sent.dtype} {tuple(sent.shape)}",
                    f"{receive.tensor.dtype} {tuple(receive.tensor.shape)}",
                )
            pairs.append((receive.tensor, sent))
        if sends:
            raise ArgumentError(
                f"ops[{sends[0][0]}]",
                "a recv from this rank with the same tag in the batch",
                "none",
            )
        for receiver, sent in pairs:
            receiver.copy_(sent)
        return [leg for leg in legs if leg.peer != self._rank]

    # --- the end

    def close(self) -> None:
        with self._state:
            if self._closed == "by close()":
                return
            if self._failure is not None and not self._failure_seen:
                warnings.warn(
                    f"a communicator was closed and nobody had seen that it failed: "
                    f"{self._failure}",
                    AccelWarning,
                    stacklevel=2,
                )
            already, self._closed = self._closed, "by close()"
        if self._rank >= 0:
            self._leave(failed=bool(already))
        if self._release is not None:
            self._release()

    def __del__(self) -> None:
        if self.__dict__.get("_closed") != "by close()" and "_sequence" in self.__dict__:
            self.close()

    # --- for subclasses

    def _require_open(self, operation: str) -> None:
        if self._closed:
            self._failure_seen = True
            cure = "" if self._rank < 0 else ". Cure: make a new communicator"
            raise StateError(f"{operation}: this communicator is closed: {self._closed}{cure}")

    def _check(self, argument: str, tensor: Any, *, written: bool) -> Tensor:
        return check_tensor(argument, tensor, self._device, written=written)

    def _check_pair(self, output: Any, input: Any) -> tuple[Tensor, Tensor]:
        output = self._check("output", output, written=True)
        input = self._check("input", input, written=False)
        check_same_dtype(output, input)
        return output, input

    def _only_on_root(self, argument: str, value: Any, root: int) -> bool:
        """True on the root; ArgumentError when another rank gave a value."""
        if self._rank == root:
            return True
        if value is not None:
            raise ArgumentError(argument, f"None on ranks other than root {root}", "a tensor")
        return False

    def _describe(self, operation: str, details: str) -> str:
        """Number a collective: the same words on every rank that makes the same call."""
        with self._state:
            self._sequence += 1
            return f"{operation} #{self._sequence}" + (f": {details}" if details else "")

    def _name(self, rank: int) -> str:
        world = self._world_ranks[rank]
        return f"rank {rank}" if world == rank else f"rank {rank} (rank {world} of the world)"

    def _all_reduce(self, tensor: Tensor, op: str, async_op: bool) -> Work | None:
        raise NotImplementedError

    def _broadcast(self, tensor: Tensor, root: int, async_op: bool) -> Work | None:
        raise NotImplementedError

    def _reduce(self, tensor: Tensor, root: int, op: str, async_op: bool) -> Work | None:
        raise NotImplementedError

    def _all_gather(self, output: Tensor, input: Tensor, async_op: bool) -> Work | None:
        raise NotImplementedError

    def _reduce_scatter(
        self, output: Tensor, input: Tensor, op: str, async_op: bool
    ) -> Work | None:
        raise NotImplementedError

    def _all_to_all(
        self, output: Tensor, input: Tensor, received: list[int], sent: list[int], async_op: bool
    ) -> Work | None:
        raise NotImplementedError

    def _gather(
        self, output: Tensor | None, input: Tensor, root: int, async_op: bool
    ) -> Work | None:
        raise NotImplementedError

    def _scatter(
        self, output: Tensor, input: Tensor | None, root: int, async_op: bool
    ) -> Work | None:
        raise NotImplementedError

    def _barrier(self) -> None:
        raise NotImplementedError

    def _point_to_point(self, legs: list[Leg], operation: str) -> Work:
        raise NotImplementedError

    def _leave(self, *, failed: bool) -> None:
        """Stop what is under way, after ``_closed`` was set."""
        raise NotImplementedError


def _apart(input: Tensor, output: Tensor) -> Tensor:
    """``input``, copied when writing ``output`` might change it."""
    return input.clone() if ranges_overlap(input, output) else input


def _row_shape_error(output: Tensor, input: Tensor) -> ArgumentError:
    return ShapeError(
        "output", f"rows of shape {tuple(input.shape[1:])}, as input's", tuple(output.shape[1:])
    )
