"""Communicators over a vendor's library (nccl, hccl, cncl): device tensors, in stream order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import torch
import torch.distributed as dist

from ..errors import ArgumentError, CollectiveError, CollectiveTimeoutError
from ..providers.collectives import Work
from .base import Leg, TorchCommunicator
from .checks import check_timeout
from .failures import Deadline, looks_like_timeout
from .reductions import Fold

__all__ = ["DeviceCommunicator", "DeviceWork"]

Tensor = torch.Tensor

#: As torch's reductions have it on all vendors; bool goes as uint8, int16 as int32.
_OPS = {"sum": "SUM", "prod": "PRODUCT", "min": "MIN", "max": "MAX", "avg": "SUM"}
_BOOL_OPS = {"sum": "max", "max": "max", "prod": "min", "min": "min"}
_POLL_SECONDS = 0.0002


def _nothing() -> None:
    """No copy back."""


class DeviceWork:
    """Work queued on the library's stream. ``land`` queues what remains to be done afterwards."""

    def __init__(
        self,
        communicator: DeviceCommunicator,
        what: str,
        works: list[Any],
        land: Callable[[], None],
        keep: tuple[Any, ...],
    ) -> None:
        self._communicator = communicator
        self._works = works
        self._land = land
        self._keep = keep  # operands and temporaries
        self._landed = False
        self.what = what
        self.started = time.monotonic()

    def wait(self, timeout: float | None = None) -> None:
        """Order the current stream's later work after this; block the host only for ``timeout``.

        Without a timeout the host does not wait, so a rank that never comes shows when a later
        call finds this work older than the communicator's timeout.
        """
        self._communicator.raise_if_failed(self.what)
        if timeout is not None:
            self.block(Deadline(check_timeout(timeout)))
        with self._communicator.on_device():
            try:
                for work in self._works:
                    work.wait()
            except RuntimeError as error:
                raise self._communicator.failed(self.what, error) from error
            if not self._landed:
                self._landed = True
                self._land()
                # What is freed now is used again in the order of the stream that has waited.
                self._land, self._keep = _nothing, ()

    def block(self, deadline: Deadline) -> None:
        """Block the host until done."""
        while not self.is_completed():
            if deadline.passed:
                raise self._communicator.failed(self.what, None, deadline.seconds)
            time.sleep(_POLL_SECONDS)

    def is_completed(self) -> bool:
        try:
            return all(work.is_completed() for work in self._works)
        except RuntimeError as error:
            raise self._communicator.failed(self.what, error) from error

    def __repr__(self) -> str:
        return f"<Work {self.what}>"


class DeviceCommunicator(TorchCommunicator):
    """Collectives of the vendor's library, with what it lacks composed from what it has.

    A blocking call returns when the result is ordered on the current stream, as device work is.
    Nothing is verified between ranks: the libraries have no messages aside for it.
    """

    def __init__(
        self,
        group: Any,
        *,
        averages: bool = False,
        tags: bool = True,
        repeats: bool = True,
        gathers: bool = True,
        widened: tuple[tuple[str, str], ...] = (),
        on_host: tuple[str, ...] = (),
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._group = group
        self._averages = averages
        self._tags = tags
        self._repeats = repeats
        self._gathers = gathers
        self._widened = {(getattr(torch, dtype), op) for dtype, op in widened}
        self._on_host = {getattr(torch, dtype) for dtype in on_host}
        self._queued: deque[DeviceWork] = deque()

    # --- collectives

    def _all_reduce(self, tensor: Tensor, op: str, async_op: bool) -> Work | None:
        what = self._describe("all_reduce", op)
        if tensor.dtype in self._on_host:
            return self._gathered_and_folded(what, tensor, op, True, async_op)
        moved, name, land = self._reducible(tensor, op)

        def go() -> Any:
            return dist.all_reduce(moved, name, self._group, async_op=True)

        return self._run(what, go, lambda: land(moved, tensor), async_op, moved, tensor)

    def _broadcast(self, tensor: Tensor, root: int, async_op: bool) -> Work | None:
        moved = _as_bytes(tensor)
        source = self._world_ranks[root]
        back = root != self._rank
        return self._run(
            self._describe("broadcast", f"from {root}"),
            lambda: dist.broadcast(moved, source, self._group, async_op=True),
            (lambda: _from_bytes(moved, tensor)) if back else _nothing,
            async_op,
            moved,
            tensor,
        )

    def _reduce(self, tensor: Tensor, root: int, op: str, async_op: bool) -> Work | None:
        target, at_root = self._world_ranks[root], root == self._rank
        what = self._describe("reduce", f"{op} to {root}")
        if tensor.dtype in self._on_host:
            return self._gathered_and_folded(what, tensor, op, at_root, async_op)
        moved, name, land = self._reducible(tensor, op)
        if not at_root and moved.data_ptr() == tensor.data_ptr():
            moved = moved.clone()  # some libraries leave partial results on other ranks
        return self._run(
            what,
            lambda: dist.reduce(moved, target, name, self._group, async_op=True),
            (lambda: land(moved, tensor)) if at_root else _nothing,
            async_op,
            moved,
            tensor,
        )

    def _all_gather(self, output: Tensor, input: Tensor, async_op: bool) -> Work | None:
        source, rows = _as_bytes(input), _as_bytes(output)
        gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
        return self._run(
            self._describe("all_gather", ""),
            lambda: gather(rows, source, group=self._group, async_op=True),
            lambda: _from_bytes(rows, output),
            async_op,
            rows,
            source,
            output,
        )

    def _reduce_scatter(
        self, output: Tensor, input: Tensor, op: str, async_op: bool
    ) -> Work | None:
        what = self._describe("reduce_scatter", op)
        if input.dtype in self._on_host:
            return self._scattered_and_folded(what, output, input, op, async_op)
        rows, name, land = self._reducible(input, op)
        part = rows.new_empty(rows[0].shape)
        scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
        return self._run(
            what,
            lambda: scatter(
                part.reshape(-1), rows.reshape(-1), op=name, group=self._group, async_op=True
            ),
            lambda: land(part, output),
            async_op,
            part,
            rows,
            output,
        )

    # --- dtypes that the library only moves

    def _gathered_and_folded(
        self, what: str, tensor: Tensor, op: str, wanted: bool, async_op: bool
    ) -> Work | None:
        """Everybody's contribution to everybody; those that want the result reduce them."""
        source = _as_bytes(tensor)
        rows = source.new_empty(self.size * source.numel())
        gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
        return self._run(
            what,
            lambda: gather(rows, source, group=self._group, async_op=True),
            (lambda: _fold_on_host(rows, tensor, op, self.size)) if wanted else _nothing,
            async_op,
            source,
            rows,
            tensor,
        )

    def _scattered_and_folded(
        self, what: str, output: Tensor, input: Tensor, op: str, async_op: bool
    ) -> Work | None:
        """To each rank everybody's contribution to its part, which it reduces."""
        source = _as_bytes(input)
        rows = torch.empty_like(source)
        return self._run(
            what,
            lambda: dist.all_to_all_single(rows, source, group=self._group, async_op=True),
            lambda: _fold_on_host(rows, output, op, self.size),
            async_op,
            source,
            rows,
            output,
        )

    def _all_to_all(
        self, output: Tensor, input: Tensor, received: list[int], sent: list[int], async_op: bool
    ) -> Work | None:
        row = input.element_size() * int(torch.Size(input.shape[1:]).numel())
        source, target = _as_bytes(input), _as_bytes(output)
        return self._run(
            self._describe("all_to_all", ""),
            lambda: dist.all_to_all_single(
                target,
                source,
                [n * row for n in received],
                [n * row for n in sent],
                group=self._group,
                async_op=True,
            ),
            lambda: _from_bytes(target, output),
            async_op,
            source,
            target,
            output,
            empty=row == 0,
        )

    def _gather(
        self, output: Tensor | None, input: Tensor, root: int, async_op: bool
    ) -> Work | None:
        source = _as_bytes(input)
        rows = None if output is None else _as_bytes(output)
        if not self._gathers:
            return self._gather_everywhere(source, rows, output, root, async_op)
        parts = None if rows is None else list(rows.reshape(self.size, -1).unbind())
        target = self._world_ranks[root]

        def land() -> None:
            if rows is not None and output is not None:
                _from_bytes(rows, output)

        return self._run(
            self._describe("gather", f"to {root}"),
            lambda: dist.gather(source, parts, target, self._group, async_op=True),
            land,
            async_op,
            source,
            rows,
            output,
        )

    def _gather_everywhere(
        self, source: Tensor, rows: Tensor | None, output: Tensor | None, root: int, async_op: bool
    ) -> Work | None:
        """gather as an all_gather: into scratch memory on the ranks that keep nothing of it."""
        target = source.new_empty(self.size * source.numel()) if rows is None else rows
        gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor

        def land() -> None:
            if rows is not None and output is not None:
                _from_bytes(rows, output)

        return self._run(
            self._describe("gather", f"to {root}"),
            lambda: gather(target, source, group=self._group, async_op=True),
            land,
            async_op,
            source,
            target,
            output,
        )

    def _scatter(
        self, output: Tensor, input: Tensor | None, root: int, async_op: bool
    ) -> Work | None:
        target = _as_bytes(output)
        rows = None if input is None else _as_bytes(input).reshape(self.size, -1)
        parts = None if rows is None else list(rows.unbind())
        source = self._world_ranks[root]
        return self._run(
            self._describe("scatter", f"from {root}"),
            lambda: dist.scatter(target, parts, source, self._group, async_op=True),
            lambda: _from_bytes(target, output),
            async_op,
            target,
            rows,
            output,
        )

    def _barrier(self) -> None:
        token = torch.zeros(1, dtype=torch.int32, device=self._device)
        what = self._describe("barrier", "")
        self._run(
            what,
            lambda: dist.all_reduce(token, group=self._group, async_op=True),
            _nothing,
            True,
            token,
        )
        work = self._queued[-1]
        work.wait(self._timeout)

    # --- point to point

    def _point_to_point(self, legs: list[Leg], operation: str) -> Work:
        what = f"{operation} ({', '.join(f'{leg.kind} {leg.peer}' for leg in legs)})"
        if not self._tags:
            if operation != "batch" and legs[0].tag:
                raise ArgumentError(
                    "tag",
                    f"0: {self.channel} matches messages by their order",
                    legs[0].tag,
                    "give the messages to batch(), which keeps tags apart",
                )
            # Both sides then have the messages of a pair in one order, whatever the callers' was.
            legs = sorted(legs, key=lambda leg: leg.tag)
        pairs = [(leg, _as_bytes(leg.tensor)) for leg in legs]
        moved = [(leg, data) for leg, data in pairs if data.numel()]

        def operation_of(leg: Leg, data: Tensor) -> dist.P2POp:
            return dist.P2POp(
                dist.isend if leg.kind == "send" else dist.irecv,
                data,
                self._world_ranks[leg.peer],
                self._group,
                leg.tag if self._tags else 0,
            )

        def go() -> list[Any]:
            return [
                work
                for batch in self._batches(moved)
                for work in dist.batch_isend_irecv([operation_of(*pair) for pair in batch])
            ]

        def land() -> None:
            for leg, data in moved:
                if leg.kind == "recv":
                    _from_bytes(data, leg.tensor)

        work = self._run(what, go, land, True, pairs)
        assert work is not None
        return work

    def _batches(self, moved: list[tuple[Leg, Tensor]]) -> list[list[tuple[Leg, Tensor]]]:
        """``moved`` as the transport takes it: its first messages each way, then the second.

        Both sides of a pair have its messages in one order, so that each is in the batch of the
        same number on both, and a batch waits for none but batches of its own number.
        """
        if self._repeats:
            return [moved] if moved else []
        batches: list[list[tuple[Leg, Tensor]]] = []
        counts: dict[tuple[str, int], int] = {}
        for leg, data in moved:
            number = counts.get((leg.kind, leg.peer), 0)
            counts[leg.kind, leg.peer] = number + 1
            if number == len(batches):
                batches.append([])
            batches[number].append((leg, data))
        return batches

    # --- queueing

    def _reducible(
        self, tensor: Tensor, op: str
    ) -> tuple[Tensor, Any, Callable[[Tensor, Tensor], None]]:
        """What to reduce in place of ``tensor``, with which torch op, and how to take it back."""
        average = op == "avg"
        native = average and self._averages
        moved = tensor if tensor.is_contiguous() else tensor.contiguous()
        if tensor.dtype is torch.bool:
            moved, op = moved.to(torch.uint8), _BOOL_OPS[op]
        elif tensor.dtype is torch.int16:
            moved = moved.to(torch.int32)  # wraps alike when it comes back
        elif (tensor.dtype, op) in self._widened:
            moved = moved.to(torch.float32)

        def land(result: Tensor, target: Tensor) -> None:
            if average and not native:
                result.div_(self.size)
            if result.data_ptr() != target.data_ptr():
                target.copy_(result)

        name = dist.ReduceOp.AVG if native else getattr(dist.ReduceOp, _OPS[op])
        return moved, name, land

    def _run(
        self,
        what: str,
        go: Callable[[], Any],
        land: Callable[[], None],
        async_op: bool,
        *keep: Any,
        empty: bool = False,
    ) -> Work | None:
        self._reap(what)
        # Zero elements on every rank: nothing to send, and some libraries refuse it.
        first = keep[0]
        nothing = isinstance(first, Tensor) and not first.numel() and "all_to_all" not in what
        skip = empty or nothing
        try:
            with self.on_device():
                started = [] if skip else go()
        except RuntimeError as error:
            raise self.failed(what, error) from error
        works = started if isinstance(started, list) else [started]
        work = DeviceWork(self, what, works, _nothing if skip else land, keep)
        self._queued.append(work)
        if async_op:
            return work
        work.wait()
        return None

    def _reap(self, what: str) -> None:
        """Forget work that is done; fail over work that is too old."""
        while self._queued and self._queued[0].is_completed():
            self._queued.popleft()
        if self._queued and time.monotonic() - self._queued[0].started > self._timeout:
            raise self.failed(self._queued[0].what, None, self._timeout)

    def on_device(self) -> AbstractContextManager[Any]:
        """Makes the communicator's device the thread's."""
        return _current(self._device)

    # --- failures

    def raise_if_failed(self, what: str) -> None:
        if self._failure is not None:
            self._failure_seen = True
            kind = type(self._failure)
            here = f"{self._name(self._rank)} of {self.size}: {what}"
            raise kind(f"{here}: given up because of an earlier failure: {self._failure}")

    def failed(
        self, what: str, error: BaseException | None, seconds: float | None = None
    ) -> CollectiveError:
        """Close the communicator; the error to raise."""
        here = f"{self._name(self._rank)} of {self.size}: {what}"
        failure: CollectiveError
        if error is None or looks_like_timeout(error):
            limit = self._timeout if seconds is None else seconds
            failure = CollectiveTimeoutError(
                f"{here} did not complete within {limit:g} s" + (f": {error}" if error else "")
            )
        else:
            failure = CollectiveError(f"{here}: {error}")
        with self._state:
            self._failure_seen = True
            if self._failure is None:
                self._failure = failure
                self._closed = f"an operation failed: {failure}"
        self._abort()
        return failure

    def _abort(self) -> None:
        abort = getattr(self._group, "abort", None)
        if abort is not None:
            with suppress(RuntimeError):  # the group is failing already; its first error is kept
                abort()

    def _leave(self, *, failed: bool) -> None:
        if any(not work.is_completed() for work in self._queued):
            self._abort()
        self._queued.clear()


def _current(device: torch.device) -> AbstractContextManager[Any]:
    """Makes a device the thread's: some libraries take it, not the tensors', for what they add."""
    if device.type == "cpu":
        return nullcontext()
    space = torch.get_device_module(device)
    guard: AbstractContextManager[Any] = space.device(device)
    return guard


def _as_bytes(tensor: Tensor) -> Tensor:
    """The bytes of ``tensor``: a view when contiguous, else of a contiguous copy."""
    dense = tensor.resolve_conj().resolve_neg().contiguous()
    return dense.as_strided((dense.numel(),), (1,)).view(torch.uint8)


def _fold_on_host(rows: Tensor, target: Tensor, op: str, ranks: int) -> None:
    """Contributions, as bytes on the device, reduced in rank order on the host into ``target``."""
    host = rows.cpu().view(target.dtype).reshape(ranks, *target.shape)
    out = torch.empty(target.shape, dtype=target.dtype)
    fold = Fold(op, out, ranks)
    for row in host:
        fold.add(row, scratch=True)
    target.copy_(out)


def _from_bytes(data: Tensor, tensor: Tensor) -> None:
    if data.numel() and data.data_ptr() != tensor.data_ptr():
        tensor.copy_(data.view(tensor.dtype).reshape(tensor.shape))
