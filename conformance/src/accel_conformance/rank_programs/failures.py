"""Ranks that do not come, that die, and communicators that are closed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import torch

from accel.errors import CollectiveError, CollectiveTimeoutError, StateError
from accel.providers import Communicator, P2POp

from .context import Context, program

#: The time limit of operations that are meant to fail by it.
SHORT_SECONDS = 0.6
#: How much later than its limit an operation may say so.
LATE_SECONDS = 8.0


def calls(
    ctx: Context, comm: Communicator, peer: int, root: int = 0
) -> dict[str, Callable[[], object]]:
    """Every method with good arguments, by name; ``root`` and ``peer`` as told."""
    size, device = ctx.size, ctx.device
    one = torch.ones(4, device=device)
    many = torch.ones(size, 4, device=device)
    at_root = ctx.rank == root
    return {
        "all_reduce": lambda: comm.all_reduce(one),
        "broadcast": lambda: comm.broadcast(one, root),
        "reduce": lambda: comm.reduce(one, root),
        "all_gather": lambda: comm.all_gather(many, one.clone()),
        "reduce_scatter": lambda: comm.reduce_scatter(one, many.clone()),
        "all_to_all": lambda: comm.all_to_all(many, many.clone()),
        "gather": lambda: comm.gather(many if at_root else None, one, root),
        "scatter": lambda: comm.scatter(one, many if at_root else None, root),
        "barrier": comm.barrier,
        "send": lambda: comm.send(one, peer),
        "recv": lambda: comm.recv(one, peer),
        "isend": lambda: comm.isend(one, peer).wait(),
        "irecv": lambda: comm.irecv(one, peer).wait(),
        "batch": lambda: comm.batch([P2POp("recv", one, peer, 1)]).wait(),
    }


def _short_lived(ctx: Context) -> Communicator:
    """A communicator with a short limit, made and ready on every rank."""
    ctx.comm.barrier()  # so that making it is not what takes too long
    comm = ctx.communicator(timeout=SHORT_SECONDS)
    ctx.comm.barrier()
    return comm


def _must_fail(
    ctx: Context,
    call: Callable[[], object],
    operation: str,
    kind: type[CollectiveError],
    within: float,
) -> None:
    """``call`` raises ``kind`` in time, and the error names this rank and the operation."""
    start = time.monotonic()
    try:
        call()
    except kind as error:
        text = str(error)
    except Exception as error:
        raise AssertionError(
            f"{operation}: expected {kind.__name__}, but {type(error).__name__}: {error}"
        ) from error
    else:
        raise AssertionError(f"{operation} returned although a rank was missing")
    took = time.monotonic() - start
    assert took < within, f"{operation} took {took:.1f} s to fail; allowed {within:.1f} s"
    me = f"rank {ctx.rank}"
    assert me in text, f"{operation}: the error does not name {me}: {text}"
    assert operation in text, f"the error does not name {operation}: {text}"


def _must_be_closed(ctx: Context, comm: Communicator) -> None:
    for name, call in calls(ctx, comm, (ctx.rank + 1) % ctx.size).items():
        try:
            call()
        except StateError:
            continue
        except Exception as error:
            raise AssertionError(
                f"{name} on a closed communicator: expected StateError, but "
                f"{type(error).__name__}: {error}"
            ) from error
        raise AssertionError(f"{name} on a closed communicator did something")


@program
def missing_rank(ctx: Context, operation: str) -> None:
    """One rank does not make the call: those who need it time out, by rank and operation."""
    rooted = operation in ("broadcast", "scatter")
    missing = 0 if rooted else ctx.size - 1
    only_root = operation in ("gather", "reduce", "recv", "irecv", "batch")
    comm = _short_lived(ctx)
    if ctx.rank != missing and (ctx.rank == 0 or not only_root):
        start = time.monotonic()
        call = calls(ctx, comm, missing)[operation]
        limit = SHORT_SECONDS + LATE_SECONDS
        _must_fail(ctx, call, operation, CollectiveTimeoutError, limit)
        took = time.monotonic() - start
        assert took > 0.5 * SHORT_SECONDS, f"{operation} gave up after {took:.2f} s"
        _must_be_closed(ctx, comm)
    ctx.comm.barrier()
    comm.close()


@program
def wait_with_its_own_timeout(ctx: Context) -> None:
    """``wait(timeout)`` gives up earlier than the communicator does."""
    comm = ctx.communicator()
    ctx.comm.barrier()
    if ctx.rank == 0:
        work = comm.irecv(torch.ones(4, device=ctx.device), 1)
        assert not work.is_completed(), "complete although nothing was sent"
        call = lambda: work.wait(0.3)  # noqa: E731
        _must_fail(ctx, call, "recv", CollectiveTimeoutError, 0.3 + LATE_SECONDS)
        _must_be_closed(ctx, comm)
    ctx.comm.barrier()
    comm.close()


@program
def async_timeout(ctx: Context) -> None:
    """An asynchronous collective that a rank is missing from fails in wait()."""
    comm = _short_lived(ctx)
    if ctx.rank != ctx.size - 1:
        work = comm.all_reduce(torch.ones(4, device=ctx.device), async_op=True)
        assert work is not None
        limit = SHORT_SECONDS + LATE_SECONDS
        _must_fail(ctx, work.wait, "all_reduce", CollectiveTimeoutError, limit)
        _must_be_closed(ctx, comm)
    ctx.comm.barrier()
    comm.close()


@program
def late_but_in_time(ctx: Context) -> None:
    """A rank that comes late, within the limit, is waited for."""
    comm = ctx.communicator(timeout=10.0)
    mine = ctx.place(torch.ones(4))
    if ctx.rank == ctx.size - 1:
        time.sleep(0.5)
    comm.all_reduce(mine.tensor)
    mine.expect(torch.full((4,), float(ctx.size)), "all_reduce with a late rank")
    comm.close()


@program
def others_go_on(ctx: Context) -> None:
    """A failed communicator leaves another one of the same ranks in order."""
    broken = _short_lived(ctx)
    if ctx.rank == 0:
        call = lambda: broken.recv(torch.ones(2, device=ctx.device), ctx.size - 1)  # noqa: E731
        _must_fail(ctx, call, "recv", CollectiveTimeoutError, SHORT_SECONDS + LATE_SECONDS)
    ctx.comm.barrier()
    mine = ctx.place(torch.ones(4))
    ctx.comm.all_reduce(mine.tensor)
    mine.expect(torch.full((4,), float(ctx.size)), "all_reduce of the sound communicator")
    broken.close()
    fresh = ctx.communicator()
    again = ctx.place(torch.ones(4))
    fresh.all_reduce(again.tensor)
    again.expect(torch.full((4,), float(ctx.size)), "all_reduce of a new communicator")
    fresh.close()


@program
def dead_peer(ctx: Context, operation: str, when: str) -> None:
    """The last rank dies, before the call or during it: the others are told, and do not hang."""
    comm = ctx.communicator(timeout=15.0)
    ctx.comm.barrier()
    last = ctx.size - 1
    if ctx.rank == last:
        if when == "during":
            time.sleep(0.4)
        os.kill(os.getpid(), signal.SIGKILL)
    if when == "before":
        time.sleep(0.4)
    if ctx.rank == 0 or operation not in ("recv",):
        call = calls(ctx, comm, last)[operation]
        _must_fail(ctx, call, operation, CollectiveError, 15.0 + LATE_SECONDS)
        _must_be_closed(ctx, comm)


@program
def closed(ctx: Context) -> None:
    """After close() every method raises StateError; closing twice is allowed."""
    comm = ctx.communicator()
    comm.barrier()
    comm.close()
    comm.close()
    _must_be_closed(ctx, comm)
    comm.close()


@program
def close_while_waiting(ctx: Context) -> None:
    """close() from another thread ends an operation that waits for a rank."""
    comm = ctx.communicator(timeout=15.0)
    ctx.comm.barrier()
    if ctx.rank == 0:
        closer = threading.Timer(0.3, comm.close)
        closer.start()
        start = time.monotonic()
        try:
            comm.recv(torch.ones(2, device=ctx.device), 1)
        except (StateError, CollectiveError):
            pass
        else:
            raise AssertionError("recv returned although nothing was sent")
        assert time.monotonic() - start < 10, "close() did not end the operation"
        closer.join()
        _must_be_closed(ctx, comm)
    ctx.comm.barrier()
    comm.close()


@program
def no_world(ctx: Context) -> None:
    """Without a world there is a StateError that says how to get one."""
    try:
        ctx.communicator(timeout=2.0)
    except StateError as error:
        assert "torchrun" in str(error), f"the error does not say how to launch: {error}"
    else:
        raise AssertionError("a communicator without a world")


@program
def wait_for_nobody(ctx: Context) -> None:
    """Not a case: what the suite's own tests use to see that a hang is found."""
    threading.Event().wait()
