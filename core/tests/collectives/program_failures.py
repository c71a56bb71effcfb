"""Rank program (3 ranks): every way in which a call can go wrong. No process may end by it, but
the one that ends itself in the last check."""

from __future__ import annotations

import gc
import os
import random
import time
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from accel import errors
from accel.collectives import TorchCollectives
from accel.providers import P2POp


def expect(kind: type[BaseException], call: Callable[[], Any], *words: str) -> BaseException:
    """``call()`` raises exactly ``kind``, with all ``words`` in its message."""
    try:
        call()
    except errors.AccelError as error:
        assert type(error) is kind, f"{type(error).__name__}: {error}"
        for word in words:
            assert word in str(error), f"{word!r} not in: {error}"
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


@contextmanager
def seconds(low: float, high: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    taken = time.monotonic() - start
    assert low <= taken <= high, f"took {taken:.2f} s, not {low} to {high}"


def bad_calls(comm: Any) -> list[tuple[type[BaseException], str, Callable[[], Any]]]:
    """(error, argument that it names, call); made by one rank while the others call nothing."""
    t, n, me = torch.zeros(4), comm.size, comm.rank
    other = (me + 1) % n
    meta = torch.zeros(4, device="meta")
    folded = torch.zeros(1).expand(4)
    rows = torch.zeros(n, 4)
    shape, dtype, argument = errors.ShapeError, errors.DTypeError, errors.ArgumentError
    return [
        (dtype, "tensor", lambda: comm.all_reduce([1.0])),
        (dtype, "tensor", lambda: comm.all_reduce(t.to_sparse())),
        (errors.DeviceError, "tensor", lambda: comm.all_reduce(meta)),
        (errors.OverlapError, "tensor", lambda: comm.all_reduce(folded)),
        (argument, "op", lambda: comm.all_reduce(t, "mean")),
        (argument, "op", lambda: comm.all_reduce(t, ["sum"])),
        (dtype, "tensor", lambda: comm.all_reduce(t.to(torch.float8_e4m3fn))),
        (dtype, "tensor", lambda: comm.all_reduce(t.to(torch.complex64))),
        (dtype, "tensor", lambda: comm.all_reduce(t.int(), "avg")),
        (dtype, "tensor", lambda: comm.reduce(t.bool(), 0, "avg")),
        (dtype, "input", lambda: comm.reduce_scatter(t.int(), rows.int(), "avg")),
        (argument, "root", lambda: comm.broadcast(t, n)),
        (argument, "root", lambda: comm.broadcast(t, -1)),
        (argument, "root", lambda: comm.reduce(t, "0")),
        (argument, "root", lambda: comm.reduce(t, True)),
        (shape, "output", lambda: comm.all_gather(t, t)),
        (shape, "output", lambda: comm.all_gather(torch.zeros(n + 1, 4), t)),
        (dtype, "output", lambda: comm.all_gather(rows.double(), t)),
        (errors.OverlapError, "output", lambda: comm.all_gather(folded.expand(n, 4), t)),
        (shape, "input", lambda: comm.reduce_scatter(t, t)),
        (shape, "output", lambda: comm.gather(t, t, me)),
        (argument, "output", lambda: comm.gather(rows, t, other)),
        (dtype, "output", lambda: comm.gather(None, t, me)),
        (shape, "input", lambda: comm.scatter(t, t, me)),
        (argument, "input", lambda: comm.scatter(t, rows, other)),
        (shape, "output", lambda: comm.all_to_all(torch.zeros(()), torch.zeros(()))),
        (shape, "output", lambda: comm.all_to_all(torch.zeros(n + 1), torch.zeros(n))),
        (shape, "input", lambda: comm.all_to_all(torch.zeros(n), torch.zeros(n + 1))),
        (shape, "output", lambda: comm.all_to_all(torch.zeros(n, 2), torch.zeros(n, 3))),
        (
            errors.SizeError,
            "output_splits",
            lambda: comm.all_to_all(torch.zeros(n), torch.zeros(n), [n], None),
        ),
        (
            errors.SizeError,
            "input_splits",
            lambda: comm.all_to_all(torch.zeros(n), torch.zeros(n), None, [2] * n),
        ),
        (
            errors.SizeError,
            "input_splits[0]",
            lambda: comm.all_to_all(torch.zeros(n), torch.zeros(n), None, [-1, 1, n]),
        ),
        (
            argument,
            f"output_splits[{me}]",
            lambda: comm.all_to_all(
                torch.zeros(n), torch.zeros(n), [n if r == me else 0 for r in range(n)], [1] * n
            ),
        ),
        (argument, "peer", lambda: comm.send(t, n)),
        (argument, "peer", lambda: comm.send(t, me)),
        (argument, "peer", lambda: comm.irecv(t, -1)),
        (argument, "tag", lambda: comm.isend(t, other, tag=-1)),
        (argument, "tag", lambda: comm.recv(t, other, tag=65536)),
        (errors.OverlapError, "tensor", lambda: comm.recv(folded, other)),
        (dtype, "ops", lambda: comm.batch(P2POp("send", t, other))),
        (dtype, "ops[0]", lambda: comm.batch([t])),
        (argument, "ops[1].kind", lambda: comm.batch([P2POp("send", t, other), P2POp("x", t, 0)])),
        (argument, "ops[0].peer", lambda: comm.batch([P2POp("send", t, n)])),
        (argument, "ops[0]", lambda: comm.batch([P2POp("send", t, me)])),
        (argument, "ops[0]", lambda: comm.batch([P2POp("recv", t, me)])),
        (
            argument,
            "ops[1].tensor",
            lambda: comm.batch([P2POp("send", rows, me), P2POp("recv", t, me)]),
        ),
    ]


def check_arguments(make: Callable[..., Any], rank: int, size: int, report: Any) -> None:
    with report("bad arguments raise before anything is sent"):
        comm = make(timeout=20)
        if rank == 1:
            for i, (kind, argument, call) in enumerate(bad_calls(comm)):
                try:
                    error = expect(kind, call, f"{argument}: expected ")
                except AssertionError as problem:
                    raise AssertionError(f"bad call {i}, {argument}: {problem}") from problem
                assert isinstance(error, errors.ArgumentError) and error.argument == argument
        tensor = torch.tensor([rank + 1])
        comm.all_reduce(tensor)
        assert tensor.item() == 6
        work = comm.all_reduce(tensor, async_op=True)
        expect(errors.ArgumentError, lambda: work.wait(0), "timeout: expected")
        work.wait()
        comm.close()
    with report("bad arguments of communicator()"):
        expect(errors.ArgumentError, lambda: make([]), "ranks: expected")
        expect(errors.ArgumentError, lambda: make([0, size]), "ranks[1]: expected")
        expect(errors.ArgumentError, lambda: make([1, 0]), "ranks: expected", "sorted")
        expect(errors.ArgumentError, lambda: make([0, 0]), "ranks: expected")
        expect(errors.ArgumentError, lambda: make(timeout=0), "timeout: expected")
        expect(errors.ArgumentError, lambda: make(timeout="1"), "timeout: expected")
        expect(errors.ArgumentError, lambda: make(channel="nccl"), "channel: expected", "gloo")
        expect(errors.ArgumentError, lambda: make(channel="nixl"), "nixl")
        expect(errors.ArgumentError, lambda: make(colour="red"), "options: expected", "colour")


def _await_rank_2(rank: int) -> dict[str, Callable[[Any], Any]]:
    """Calls of ranks 0 and 1 that cannot end without rank 2."""
    t, rows = torch.zeros(4), torch.zeros(3, 4)
    calls: dict[str, Callable[[Any], Any]] = {
        "all_reduce": lambda c: c.all_reduce(t),
        "all_reduce of much": lambda c: c.all_reduce(torch.zeros(100_000)),
        "broadcast": lambda c: c.broadcast(t, 2),
        "reduce": lambda c: c.reduce(torch.zeros(9000), 0),
        "all_gather": lambda c: c.all_gather(rows, t),
        "reduce_scatter": lambda c: c.reduce_scatter(t, rows),
        "all_to_all": lambda c: c.all_to_all(torch.zeros(3), torch.zeros(3)),
        "gather": lambda c: c.gather(None, torch.zeros(4), 2),
        "scatter": lambda c: c.scatter(t, None, 2),
        "barrier": lambda c: c.barrier(),
        "recv": lambda c: c.recv(t, 2),
        "send": lambda c: c.send(torch.zeros(1 << 24), 2),
        "batch": lambda c: c.batch([P2POp("recv", t, 2), P2POp("send", rows, 1 - rank)]).wait(),
    }
    return calls


def check_timeouts(make: Callable[..., Any], rank: int, report: Any) -> None:
    for name, call in _await_rank_2(rank).items():
        operation = name.split()[0]
        comm = make(timeout=0.4)
        with report(f"{name}: a rank that does not come"):
            if rank == 2:
                time.sleep(0.9)
                # The others have given up; this rank learns why, and keeps running.
                expect(errors.CollectiveTimeoutError, comm.barrier, "gave up", operation, "0.4 s")
            else:
                with seconds(0.2, 4.0):
                    expect(
                        errors.CollectiveTimeoutError,
                        lambda comm=comm, call=call: call(comm),
                        f"rank {rank} of 3",
                        operation,
                        "0.4 s",
                        "rank 2",
                    )
                expect(errors.StateError, comm.barrier, "closed", operation, "0.4 s")
                expect(errors.StateError, lambda c=comm: c.isend(torch.zeros(1), 2), operation)
        comm.close()

    with report("a wait's own, shorter timeout"):
        comm = make(timeout=60)
        if rank == 0:
            work = comm.all_reduce(torch.zeros(3), async_op=True)
            assert not work.is_completed()
            with seconds(0.3, 3.0):
                expect(
                    errors.CollectiveTimeoutError, lambda: work.wait(0.4), "all_reduce #1", "0.4 s"
                )
            expect(errors.StateError, comm.barrier, "0.4 s")
        elif rank == 1:
            time.sleep(0.2)
            work = comm.irecv(torch.zeros(3), 2, tag=7)
            with seconds(0.1, 3.0):  # rank 0 gives up first, and says so to those who talk to it
                expect(
                    errors.CollectiveTimeoutError,
                    lambda: work.wait(1.0),
                    "irecv",
                    "tag 7",
                    "rank 2",
                )
        else:
            time.sleep(2)
        comm.close()

    with report("a polled irecv that nobody answers fails in time"):
        comm = make(timeout=0.5)
        if rank == 0:
            work = comm.irecv(torch.zeros(3), 1)
            with seconds(0.3, 3.0):
                while not work.is_completed():
                    time.sleep(0.01)
            expect(errors.CollectiveTimeoutError, work.wait, "irecv", "0.5 s", "rank 1")
        else:
            time.sleep(0.8)
        comm.close()


def check_disagreement(make: Callable[..., Any], rank: int, report: Any) -> None:
    def differ(name: str, mine: Callable[[Any], Any], *words: str) -> None:
        comm = make(timeout=30)
        with report(f"ranks disagree: {name}"):
            with seconds(0.0, 5.0):  # found out by comparing, not by waiting
                expect(errors.CollectiveError, lambda: mine(comm), f"rank {rank} of 3", *words)
            expect(errors.StateError, comm.barrier, "closed")
        comm.close()

    t = torch.zeros(4)
    differ("order", lambda c: c.all_reduce(t) if rank else c.barrier(), "rank")
    differ("shape", lambda c: c.all_reduce(torch.zeros(4 + rank)))
    differ("large and larger", lambda c: c.all_reduce(torch.zeros(10**6 + rank)))
    differ("dtype", lambda c: c.all_reduce(t.int() if rank == 1 else t))
    differ("op", lambda c: c.all_reduce(t, "max" if rank == 2 else "min"))
    differ("asynchronous", lambda c: c.all_reduce(torch.zeros(4 + rank), async_op=True).wait())
    differ(
        "splits",
        lambda c: (
            c.all_to_all(torch.zeros(3), torch.zeros(3 + rank), None, None)
            if rank == 0
            else c.all_to_all(torch.zeros(6), torch.zeros(6))
        ),
    )
    comm = make(timeout=30)
    with report("a message of another size or dtype than expected"):
        if rank == 0:
            expect(
                errors.CollectiveError,
                lambda: comm.recv(torch.zeros(50), 1),
                "rank 1",
                "float32 [50]",
                "float32 [100]",
            )
        elif rank == 1:
            with seconds(0.0, 5.0):
                work = comm.isend(torch.zeros(100), 0)
                try:
                    work.wait()  # may have left before rank 0 looked
                    comm.barrier()
                except errors.CollectiveError as error:
                    assert "rank 0 gave up" in str(error), error
                except errors.StateError:
                    pass
        else:
            expect(errors.CollectiveError, comm.barrier, "rank 0 gave up", "float32 [100]")
    comm.close()


def check_handles(make: Callable[..., Any], rank: int, report: Any) -> None:
    with report("a work that was dropped does not hide its failure"):
        comm = make(timeout=0.5)
        if rank == 0:
            comm.irecv(torch.zeros(3), 1)  # dropped at once; nobody sends
            gc.collect()
            end = time.monotonic() + 5
            while "closed" not in repr(comm) and time.monotonic() < end:
                time.sleep(0.05)
            expect(errors.StateError, comm.barrier, "irecv", "0.5 s")
        else:
            time.sleep(0.8)
        comm.close()
    with report("a failure nobody saw is said when the communicator is closed"):
        comm = make(timeout=0.5)
        if rank == 0:
            comm.all_reduce(torch.zeros(3), async_op=True)
            time.sleep(1.5)
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                comm.close()
            assert len(said) == 1 and said[0].category is errors.AccelWarning, said
            assert "all_reduce #1" in str(said[0].message)
        else:
            time.sleep(1.5)
            comm.close()
    with report("operands are kept alive without a handle"):
        comm = make(timeout=20)
        for i in range(20):
            comm.all_reduce(torch.full((10_000,), float(i)), async_op=True)
            comm.isend(torch.full((5000,), float(i)), (rank + 1) % 3, tag=i)
        gc.collect()
        scratch = [torch.full((5000,), -1.0) for _ in range(50)]
        for i in range(20):
            got = torch.zeros(5000)
            comm.recv(got, (rank - 1) % 3, tag=i)
            assert got.eq(i).all()
        comm.barrier()
        assert len(scratch) == 50
        comm.close()
    with report("close while messages are under way"):
        # One rank closes while the others hold theirs open: a peer that closed is another failure.
        comm, fence = make(timeout=30), make(timeout=30)
        if rank == 0:
            work = comm.irecv(torch.zeros(3), 1)
            with seconds(0.0, 5.0):
                comm.close()
                expect(errors.StateError, work.wait, "closed while")
            expect(errors.StateError, comm.barrier, "by close()")
        fence.barrier()
        comm.close()
        fence.close()


def check_leaving(make: Callable[..., Any], rank: int, size: int, report: Any) -> None:
    with report("a peer that closed"):
        comm = make(timeout=30)
        comm.barrier()
        if rank == 2:
            comm.close()
        else:
            with seconds(0.0, 5.0):
                expect(errors.CollectiveError, comm.barrier, "rank 2")
        comm.close()
    with report("outside the group"):
        comm = make([0, 1], timeout=20)
        if rank == 2:
            assert comm.rank == -1 and comm.size == 2
            expect(errors.StateError, comm.barrier, "rank 2", "[0, 1]")
            expect(errors.StateError, lambda: comm.all_reduce(torch.zeros(1)), "all_reduce")
        else:
            comm.barrier()
        comm.close()
    with report("communicator(): a rank that does not call"):
        if rank == 2:
            time.sleep(1.5)
        expect(
            errors.CollectiveTimeoutError, lambda: make(timeout=0.8), "communicator()", "[2]", "0.8"
        )
    with report("communicator(): ranks ask for different groups"):
        expect(errors.CollectiveError, lambda: make([0, 1 + rank % 2], timeout=20), "different")
    with report("and the world is still good"):
        comm = make(timeout=20)
        tensor = torch.ones(1)
        comm.all_reduce(tensor)
        assert tensor.item() == size
        comm.close()


def main(rank: int, size: int, seed: int, report: Any) -> None:
    backend = types.SimpleNamespace(
        device=torch.device("cpu"), info=types.SimpleNamespace(name="cpu")
    )
    make = TorchCollectives(backend).communicator
    check_arguments(make, rank, size, report)
    check_timeouts(make, rank, report)
    check_disagreement(make, rank, report)
    check_handles(make, rank, report)
    check_leaving(make, rank, size, report)
    with report("a rank that dies"):
        comm = make(timeout=60)
        comm.barrier()
        if rank == 2:
            comm.all_reduce(torch.zeros(1 << 24), async_op=True)
            time.sleep(random.Random(seed).uniform(0, 0.04))
            os._exit(9)
        with seconds(0.0, 8.0):
            expect(
                errors.CollectiveError,
                lambda: [comm.all_reduce(torch.zeros(1 << 24)) for _ in range(3)],
                f"rank {rank} of 3",
                "all_reduce",
                "rank 2",
            )
        expect(errors.StateError, comm.barrier, "rank 2")
        comm.close()
