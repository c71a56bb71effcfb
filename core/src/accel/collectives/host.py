"""Communicators over gloo: messages through host memory, for every device type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..errors import CollectiveError, CollectiveTimeoutError, StateError
from ..providers.collectives import Work
from . import algorithms
from .base import Leg, TorchCommunicator
from .failures import Deadline, TransportError
from .messages import Edge, MessageGroup
from .notes import Notes
from .staging import Operands, Stage
from .work import AsyncWork, Job, MessageJob, Worker

__all__ = ["HostCommunicator"]

Tensor = torch.Tensor
Body = Callable[[Deadline], None]

#: How long close() waits for operations that it interrupted.
_STOP_SECONDS = 5.0


class HostCommunicator(TorchCommunicator):
    """Collectives composed from messages (algorithms.py), one after the other.

    A blocking call runs on the calling thread. Asynchronous calls run in order on one worker
    thread, so collectives keep the order of the program whichever way they are called; a blocking
    call behind them waits for its turn. Point-to-point messages start at once and independently.
    """

    def __init__(self, group: Any, operands: Operands, notes: Notes, **common: Any) -> None:
        super().__init__(**common)
        self._messages = MessageGroup(group)
        self._operands = operands
        self._notes = notes
        self._worker = Worker(f"accel-collectives-{self._rank}")
        self._under_way: set[Job] = set()

    # --- collectives

    def _all_reduce(self, tensor: Tensor, op: str, async_op: bool) -> Work | None:
        stage = self._operands.stage()
        data = stage.update(tensor)
        what = self._describe("all_reduce", f"{op} of {_words(tensor)}")
        return self._collective(
            what,
            stage,
            lambda deadline: algorithms.all_reduce(self._messages, what, data, op, deadline),
            async_op,
        )

    def _broadcast(self, tensor: Tensor, root: int, async_op: bool) -> Work | None:
        stage = self._operands.stage()
        data = stage.load(tensor) if root == self._rank else stage.blank(tensor)
        what = self._describe("broadcast", f"{_words(tensor)} from {root}")
        return self._collective(
            what,
            stage,
            lambda deadline: algorithms.broadcast(self._messages, what, data, root, deadline),
            async_op,
        )

    def _reduce(self, tensor: Tensor, root: int, op: str, async_op: bool) -> Work | None:
        stage = self._operands.stage()
        data = stage.update(tensor) if root == self._rank else stage.load(tensor)
        what = self._describe("reduce", f"{op} of {_words(tensor)} to {root}")
        return self._collective(
            what,
            stage,
            lambda deadline: algorithms.reduce(self._messages, what, data, root, op, deadline),
            async_op,
        )

    def _all_gather(self, output: Tensor, input: Tensor, async_op: bool) -> Work | None:
        stage = self._operands.stage()
        mine, rows = stage.load(input), stage.blank(output).unbind()
        what = self._describe("all_gather", _words(input))
        return self._collective(
            what,
            stage,
            lambda deadline: algorithms.all_gather(self._messages, what, rows, mine, deadline),
            async_op,
        )

    def _reduce_scatter(
        self, output: Tensor, input: Tensor, op: str, async_op: bool
    ) -> Work | None:
        stage = self._operands.stage()
        rows, out = stage.load(input).unbind(), stage.blank(output)
        what = self._describe("reduce_scatter", f"{op} of {_words(output)}")
        return self._collective(
            what,
            stage,
            lambda deadline: algorithms.reduce_scatter(
                self._messages, what, out, rows, op, deadline
            ),
            async_op,
        )

    def _all_to_all(
        self, output: Tensor, input: Tensor, received: list[int], sent: list[int], async_op: bool
    ) -> Work | None:
        stage = self._operands.stage()
        inputs = torch.split(stage.load(input), sent)
        outputs = torch.split(stage.blank(output), received)
        row = "x".join(str(n) for n in input.shape[1:])
        what = self._describe("all_to_all", f"{_dtype(input)} rows [{row}]")
        return self._collective(
            what,
            stage,
            lambda deadline: algorithms.all_to_all(self._messages, what, outputs, inputs, deadline),
            async_op,
        )

    def _gather(
        self, output: Tensor | None, input: Tensor, root: int, async_op: bool
    ) -> Work | None:
        stage = self._operands.stage()
        mine = stage.load(input)
        rows = None if output is None else stage.blank(output).unbind()
        what = self._describe("gather", f"{_words(input)} to {root}")
        return self._collective(
            what,
            stage,
            lambda deadline: algorithms.gather(self._messages, what, rows, mine, root, deadline),
            async_op,
        )

    def _scatter(
        self, output: Tensor, input: Tensor | None, root: int, async_op: bool
    ) -> Work | None:
        stage = self._operands.stage()
        rows = None if input is None else stage.load(input).unbind()
        mine = stage.blank(output)
        what = self._describe("scatter", f"{_words(output)} from {root}")
        return self._collective(
            what,
            stage,
            lambda deadline: algorithms.scatter(self._messages, what, mine, rows, root, deadline),
            async_op,
        )

    def _barrier(self) -> None:
        stage = self._operands.stage()
        what = self._describe("barrier", "")
        self._collective(
            what,
            stage,
            lambda deadline: algorithms.barrier(self._messages, what, deadline),
            async_op=False,
        )

    def _collective(self, what: str, stage: Stage, body: Body, async_op: bool) -> Work | None:
        stage.mark()
        job = Job(what, self._staged(stage, body), self._failed, self._under_way.discard)
        self._under_way.add(job)
        work = AsyncWork(job, stage.arrive, self._late, self._seen)
        if async_op or not self._worker.idle:
            self._worker.submit(job)
        else:
            job.run()
        if async_op:
            return work
        work.wait()
        return None

    def _staged(self, stage: Stage, body: Body) -> Callable[[float | None], None]:
        def run(timeout: float | None) -> None:
            deadline = Deadline(self._timeout if timeout is None else timeout)
            # Tensors made under inference_mode may only be written under it.
            with torch.inference_mode():
                self._refuse_if_closed()
                stage.ready()
                body(deadline)
                stage.store()

        return run

    # --- point to point

    def _point_to_point(self, legs: list[Leg], operation: str) -> Work:
        stage = self._operands.stage()
        edges = [
            (leg, Edge(leg.peer, self._host(stage, leg), f"tag {leg.tag}, {_words(leg.tensor)}"))
            for leg in legs
        ]
        stage.mark()
        what = f"{operation} ({_legs(legs)})"
        try:
            # A message leaves from host memory, so a device's must have arrived there first.
            stage.ready()
            exchanges = [
                self._messages.exchange(
                    [edge] if leg.kind == "send" else [],
                    [edge] if leg.kind == "recv" else [],
                    tag=leg.tag,
                )
                for leg, edge in sorted(edges, key=lambda pair: pair[0].kind)
            ]
        except Exception as error:
            self._failure_seen = True
            raise self._failed(what, error) from error

        def body(timeout: float | None) -> None:
            deadline = Deadline(self._timeout if timeout is None else timeout)
            with torch.inference_mode():
                for exchange in exchanges:
                    exchange.finish(deadline)
                stage.store()

        job = MessageJob(what, body, self._failed, self._under_way.discard)
        self._under_way.add(job)
        return AsyncWork(job, stage.arrive, self._late, self._seen)

    @staticmethod
    def _host(stage: Stage, leg: Leg) -> Tensor:
        return stage.load(leg.tensor) if leg.kind == "send" else stage.blank(leg.tensor)

    # --- failures

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StateError(f"this communicator is closed: {self._closed}")

    def _late(self, job: Job, seconds: float) -> BaseException:
        """The caller's own, shorter timeout passed while another thread awaits the messages."""
        detail = "the wait's own timeout passed"
        return self._failed(job.what, TransportError("late", self._rank, detail, seconds))

    def _seen(self) -> None:
        self._failure_seen = True

    def _failed(self, what: str, error: BaseException) -> BaseException:
        """Close the communicator over ``error`` and return what the caller shall see."""
        here = f"{self._name(self._rank)} of {self.size}: {what}"
        with self._state:
            first = self._failure
            if self._closed == "by close()" and first is None:
                return StateError(f"{here}: the communicator was closed while it was under way")
            if first is not None:
                again = type(first)(f"{here}: given up because of an earlier failure: {first}")
                again.__cause__ = error
                return again
            failure = self._explain(here, error)
            failure.__cause__ = error
            self._failure = failure
            self._closed = f"an operation failed: {failure}"
        timed_out = isinstance(failure, CollectiveTimeoutError)
        self._notes.leave("timeout" if timed_out else "error", str(failure))
        self._messages.abort()
        return failure if isinstance(error, Exception) else error

    def _explain(self, here: str, error: BaseException) -> CollectiveError:
        if not isinstance(error, TransportError):
            return CollectiveError(f"{here}: {type(error).__name__}: {error}")
        late = f"{here} did not complete within {error.seconds:g} s"
        if error.kind == "late":
            return CollectiveTimeoutError(late)
        peer = self._name(error.peer)
        if error.kind == "timeout":
            return CollectiveTimeoutError(f"{late}: still waiting for {peer}")
        if error.kind == "mismatch":
            return CollectiveError(
                f"{here}: {peer} made another call: {error.detail}. Cure: every rank must make the "
                f"same calls in the same order, with the same shapes and dtypes"
            )
        note = self._notes.read(error.peer)
        if note is None:
            return CollectiveError(
                f"{here}: lost the connection to {peer}, which died or was cut off ({error.detail})"
            )
        kind, text = note
        if kind == "closed":
            return CollectiveError(f"{here}: {peer} had closed the communicator")
        given_up = CollectiveTimeoutError if kind == "timeout" else CollectiveError
        return given_up(f"{here}: {peer} gave up: [{text}]")

    def _leave(self, *, failed: bool) -> None:
        interrupted = list(self._under_way)
        if not failed:
            self._notes.leave("closed", "")
            self._messages.abort()  # peers that still call learn of it at once
        self._worker.stop(_STOP_SECONDS)
        for job in interrupted:
            job.abandon()
            job.join(_STOP_SECONDS)
        self._operands.close()


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _words(tensor: Tensor) -> str:
    return f"{_dtype(tensor)} [{'x'.join(str(n) for n in tensor.shape)}]"


def _legs(legs: Sequence[Leg]) -> str:
    listed = [
        f"{'to' if leg.kind == 'send' else 'from'} rank {leg.peer}"
        + (f", tag {leg.tag}" if leg.tag else "")
        for leg in legs[:4]
    ]
    more = f" and {len(legs) - 4} more" if len(legs) > 4 else ""
    return "; ".join(listed) + more
