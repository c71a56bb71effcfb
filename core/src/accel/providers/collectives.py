"""Collectives and point-to-point messages between ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from ..capabilities import Capability
from .base import Provider

if TYPE_CHECKING:
    import torch

__all__ = ["Collectives", "Communicator", "P2POp", "ReduceOp", "Work"]

ReduceOp = Literal["sum", "prod", "min", "max", "avg"]


class Work(Protocol):
    """An operation under way. Its tensors are kept alive until it is done."""

    def wait(self, timeout: float | None = None) -> None:
        """Block until done (device work: until ordered before the current stream's later work).

        Args:
            timeout: seconds; the communicator's own if None.

        Raises:
            CollectiveTimeoutError: names rank, operation and seconds; the communicator is closed.
            CollectiveError: a peer is gone or the transport failed; the communicator is closed.
        """

    def is_completed(self) -> bool:
        """True when :meth:`wait` would return at once."""


@dataclass(frozen=True)
class P2POp:
    """One leg of :meth:`Communicator.batch`."""

    kind: Literal["send", "recv"]
    tensor: torch.Tensor
    peer: int  #: rank within the communicator
    tag: int = 0  #: 0 to 65535


class Communicator(Protocol):
    """A group of ranks. Every rank makes the same calls in the same order.

    Ranks (``root``, ``peer``) count within the group. Tensors may have any strides and live on
    the communicator's device. ``async_op=True`` returns a :class:`Work`; otherwise the call
    returns when the result may be used, and returns None. In all methods an argument error is
    raised on the calling rank before anything is sent.

    ``op`` is one of sum, prod, min, max, avg; avg needs a floating dtype. float8 tensors can be
    moved but not reduced (DTypeError).
    """

    @property
    def rank(self) -> int:
        """This rank within the group; -1 where the caller is not a member."""

    @property
    def size(self) -> int: ...

    @property
    def channel(self) -> str:
        """The transport in use: ``nccl``, ``hccl``, ``cncl``, ``gloo``, ..."""

    @property
    def timeout(self) -> float:
        """Seconds after which an operation fails."""

    def all_reduce(
        self, tensor: torch.Tensor, op: ReduceOp = "sum", *, async_op: bool = False
    ) -> Work | None:
        """In place, on every rank."""

    def broadcast(self, tensor: torch.Tensor, root: int, *, async_op: bool = False) -> Work | None:
        """``root``'s contents to every rank, in place."""

    def reduce(
        self, tensor: torch.Tensor, root: int, op: ReduceOp = "sum", *, async_op: bool = False
    ) -> Work | None:
        """In place on ``root``; other ranks' tensors keep their contents."""

    def all_gather(
        self, output: torch.Tensor, input: torch.Tensor, *, async_op: bool = False
    ) -> Work | None:
        """``output`` [size, *input.shape]: rank r's input in row r."""

    def reduce_scatter(
        self,
        output: torch.Tensor,
        input: torch.Tensor,
        op: ReduceOp = "sum",
        *,
        async_op: bool = False,
    ) -> Work | None:
        """``input`` [size, *output.shape]; rank r gets the reduction of every rank's row r."""

    def all_to_all(
        self,
        output: torch.Tensor,
        input: torch.Tensor,
        output_splits: Sequence[int] | None = None,
        input_splits: Sequence[int] | None = None,
        *,
        async_op: bool = False,
    ) -> Work | None:
        """Exchange rows (first axis): equal parts, or per-rank row counts when splits are given."""

    def gather(
        self,
        output: torch.Tensor | None,
        input: torch.Tensor,
        root: int,
        *,
        async_op: bool = False,
    ) -> Work | None:
        """As all_gather, on ``root`` only; elsewhere ``output`` is None."""

    def scatter(
        self,
        output: torch.Tensor,
        input: torch.Tensor | None,
        root: int,
        *,
        async_op: bool = False,
    ) -> Work | None:
        """Row r of ``root``'s ``input`` [size, *output.shape] to rank r; elsewhere it is None."""

    def barrier(self) -> None:
        """Return when every rank has called it."""

    def send(self, tensor: torch.Tensor, peer: int, tag: int = 0) -> None:
        """Block until ``tensor`` may be written again."""

    def recv(self, tensor: torch.Tensor, peer: int, tag: int = 0) -> None:
        """Block until ``tensor`` holds what ``peer`` sent; same shape and dtype on both sides."""

    def isend(self, tensor: torch.Tensor, peer: int, tag: int = 0) -> Work: ...

    def irecv(self, tensor: torch.Tensor, peer: int, tag: int = 0) -> Work: ...

    def batch(self, ops: Sequence[P2POp]) -> Work:
        """Start all legs at once (no order among them, no deadlock between them)."""

    def close(self) -> None:
        """Leave the group. Later calls raise StateError. Closing twice is allowed."""


class Collectives(Provider):
    """Makes communicators. Capabilities: COLLECTIVES, COLLECTIVE_TIMEOUT, P2P."""

    area: ClassVar[str] = "collectives"

    def channels(self) -> tuple[str, ...]:
        """Transports that can serve this device here, best first."""
        raise self.unsupported(Capability.COLLECTIVES)

    def communicator(
        self,
        ranks: Sequence[int] | None = None,
        *,
        channel: str | None = None,
        timeout: float = 600.0,
        **options: Any,
    ) -> Communicator:
        """A communicator over ``ranks`` of the world (all if None).

        The world comes from torchrun's environment (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT),
        or from a torch.distributed process group that the framework initialised already.
        Collective: every rank of the world calls it, also those not in ``ranks``. Those get a
        communicator too, closed from the start: its ``rank`` is -1 and its operations raise
        StateError.

        Args:
            ranks: ascending, each once; a member's rank in the group is its place among them.
            channel: a name from :meth:`channels`; without it the best one that works, and a
                warning says so when that is not the first.
            timeout: seconds allowed for each operation.

        Raises:
            StateError: no world (not launched by torchrun, no process group).
            ArgumentError: ranks outside the world or not ascending, an unknown channel.
            CollectiveTimeoutError: a rank did not call it in time; names the ranks.
            CollectiveError: the ranks ask for different groups.
        """
        raise self.unsupported(Capability.COLLECTIVES)
