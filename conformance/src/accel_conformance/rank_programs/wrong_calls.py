"""Wrong arguments: refused on the calling rank by name, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from accel.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    OverlapError,
    ShapeError,
    SizeError,
)
from accel.providers import P2POp

from .context import Context, program

Refusal = tuple[type[ArgumentError] | tuple[type[ArgumentError], ...], str, Callable[[], object]]
_SIZES = (ShapeError, SizeError)


def _expect(kind: Any, argument: str, call: Callable[[], object], label: str) -> None:
    try:
        call()
    except ArgumentError as error:
        assert isinstance(error, kind), f"{label}: {type(error).__name__} instead: {error}"
        named = error.argument
        assert named == argument or named.startswith((f"{argument}[", f"{argument}.")), (
            f"{label}: the error names {named!r} instead of {argument!r}: {error}"
        )
        assert error.expected, f"{label}: nothing expected in: {error}"
        assert error.given, f"{label}: nothing given in: {error}"
    except Exception as error:
        raise AssertionError(f"{label}: {type(error).__name__} instead: {error}") from error
    else:
        raise AssertionError(f"{label}: the call was accepted")


def _refusals(ctx: Context) -> dict[str, Refusal]:
    comm, n = ctx.comm, ctx.size
    t, many = torch.ones(6, device=ctx.device), torch.ones(n, 6, device=ctx.device)
    whole, eight = t.to(torch.int32), t.to(torch.float8_e4m3fn)
    odd = torch.ones(n + 1, device=ctx.device)
    meta, other = torch.ones(6, device="meta"), (ctx.rank + 1) % n
    twice = t[:1].expand(6)
    out: dict[str, Refusal] = {
        "unknown op": (ArgumentError, "op", lambda: comm.all_reduce(t, "mean")),  # type: ignore[arg-type]
        "op is no text": (ArgumentError, "op", lambda: comm.all_reduce(t, None)),  # type: ignore[arg-type]
        "avg of integers": (DTypeError, "tensor", lambda: comm.all_reduce(whole, "avg")),
        "sum of float8": (DTypeError, "tensor", lambda: comm.all_reduce(eight)),
        "reduce of float8": (DTypeError, "tensor", lambda: comm.reduce(eight, 0)),
        "all_reduce of a list": (DTypeError, "tensor", lambda: comm.all_reduce([1.0])),  # type: ignore[arg-type]
        "all_reduce on meta": (DeviceError, "tensor", lambda: comm.all_reduce(meta)),
        "all_reduce of an expanded tensor": (
            OverlapError, "tensor", lambda: comm.all_reduce(twice)
        ),
        "broadcast from nobody": (ArgumentError, "root", lambda: comm.broadcast(t, n)),
        "broadcast from rank -1": (ArgumentError, "root", lambda: comm.broadcast(t, -1)),
        "broadcast on meta": (DeviceError, "tensor", lambda: comm.broadcast(meta, 0)),
        "reduce to nobody": (ArgumentError, "root", lambda: comm.reduce(t, n)),
        "reduce with an unknown op": (ArgumentError, "op", lambda: comm.reduce(t, 0, "xor")),  # type: ignore[arg-type]
        "all_gather into one row": (_SIZES, "output", lambda: comm.all_gather(t, t.clone())),
        "all_gather into a flat tensor": (
            _SIZES, "output", lambda: comm.all_gather(many.flatten(), t)
        ),
        "all_gather of other dtypes": (
            DTypeError, "output", lambda: comm.all_gather(many, whole)
        ),
        "all_gather from meta": (DeviceError, "input", lambda: comm.all_gather(many, meta)),
        "reduce_scatter from one row": (
            _SIZES, "input", lambda: comm.reduce_scatter(t, t.clone())
        ),
        "reduce_scatter of float8": (
            DTypeError, "input",
            lambda: comm.reduce_scatter(eight, eight.expand(n, 6).contiguous()),
        ),
        "reduce_scatter with an unknown op": (
            ArgumentError, "op", lambda: comm.reduce_scatter(t, many, "or")  # type: ignore[arg-type]
        ),
        "all_to_all of an odd number of rows": (
            _SIZES, "output", lambda: comm.all_to_all(odd, odd.clone())
        ),
        "all_to_all with too few splits": (
            _SIZES, "output_splits", lambda: comm.all_to_all(many, many.clone(), [1], [1] * n)
        ),
        "all_to_all with wrong splits": (
            _SIZES, "input_splits",
            lambda: comm.all_to_all(many, many.clone(), [1] * n, [2] * n),
        ),
        "all_to_all with negative splits": (
            ArgumentError, "input_splits",
            lambda: comm.all_to_all(many, many.clone(), [1] * n, [-1, *[1] * (n - 2), 3]),
        ),
        "all_to_all of other rows": (
            _SIZES, "output", lambda: comm.all_to_all(many[:, 1:], many.clone())
        ),
        "gather without an output on the root": (
            ArgumentError, "output", lambda: comm.gather(None, t, ctx.rank)
        ),
        "gather with an output elsewhere": (
            ArgumentError, "output", lambda: comm.gather(many, t, other)
        ),
        "gather into the wrong shape": (
            _SIZES, "output", lambda: comm.gather(many[1:], t, ctx.rank)
        ),
        "scatter without an input on the root": (
            ArgumentError, "input", lambda: comm.scatter(t, None, ctx.rank)
        ),
        "scatter with an input elsewhere": (
            ArgumentError, "input", lambda: comm.scatter(t, many, other)
        ),
        "scatter of the wrong shape": (
            _SIZES, "input", lambda: comm.scatter(t, many[:, 1:], ctx.rank)
        ),
        "send to nobody": (ArgumentError, "peer", lambda: comm.send(t, n)),
        "send to itself": (ArgumentError, "peer", lambda: comm.send(t, ctx.rank)),
        "recv from rank -1": (ArgumentError, "peer", lambda: comm.recv(t, -1)),
        "isend of a number": (DTypeError, "tensor", lambda: comm.isend(1.0, other)),  # type: ignore[arg-type]
        "irecv on meta": (DeviceError, "tensor", lambda: comm.irecv(meta, other)),
        "irecv into an expanded tensor": (
            OverlapError, "tensor", lambda: comm.irecv(twice, other)
        ),
        "a negative tag": (ArgumentError, "tag", lambda: comm.send(t, other, -1)),
        "a tag that is no integer": (ArgumentError, "tag", lambda: comm.isend(t, other, "a")),  # type: ignore[arg-type]
        "batch of a tensor": (DTypeError, "ops", lambda: comm.batch([t])),  # type: ignore[list-item]
        "batch with an unknown kind": (
            ArgumentError, "ops", lambda: comm.batch([P2POp("put", t, other)])  # type: ignore[arg-type]
        ),
        "batch whose second leg is wrong": (
            ArgumentError, "ops",
            lambda: comm.batch([P2POp("send", t, other), P2POp("recv", t.clone(), n)]),
        ),
        "ranks outside the world": (
            ArgumentError, "ranks", lambda: ctx.communicator([0, n])
        ),
        "a rank twice": (ArgumentError, "ranks", lambda: ctx.communicator([0, 0])),
        "no ranks": (ArgumentError, "ranks", lambda: ctx.communicator([])),
        "an unknown channel": (
            ArgumentError, "channel", lambda: ctx.communicator(channel="pigeon")
        ),
        "no time": (ArgumentError, "timeout", lambda: ctx.communicator(timeout=0.0)),
    }  # fmt: skip
    return out


@program
def wrong_calls(ctx: Context, by: str) -> None:
    """Everyone, or only one rank, makes each wrong call: no rank is left waiting."""
    comm = ctx.comm
    comm.barrier()
    failed = []
    before = ctx.place(ctx.noise(ctx.rank, (50,), torch.uint8))
    if by == "everyone" or ctx.rank == ctx.size - 1:
        for label, (kind, argument, call) in _refusals(ctx).items():
            if "communicator" in call.__code__.co_names and by != "everyone":
                continue  # making one is for all ranks together
            try:
                _expect(kind, argument, call, label)
            except AssertionError as error:
                failed.append(str(error))
    before.expect(ctx.noise(ctx.rank, (50,), torch.uint8), "unrelated memory")
    # Had anything been sent, the ranks would be out of step now.
    mine = ctx.place(torch.full((3,), float(ctx.rank)))
    comm.all_reduce(mine.tensor)
    mine.expect(torch.full((3,), float(sum(range(ctx.size)))), "all_reduce after the wrong calls")
    assert not failed, f"{len(failed)} wrong calls:\n" + "\n".join(failed)


@program
def outputs_stay(ctx: Context) -> None:
    """A refused call leaves the tensors that it would have written as they were."""
    comm, kind = ctx.comm, torch.float32
    wrong: tuple[tuple[tuple[int, ...], Callable[[torch.Tensor], object]], ...] = (
        ((5,), lambda t: comm.all_reduce(t, "mean")),  # type: ignore[arg-type]
        ((5,), lambda t: comm.broadcast(t, 99)),
        ((ctx.size + 1, 4), lambda t: comm.all_gather(t, torch.ones(4, device=ctx.device))),
        ((4,), lambda t: comm.reduce_scatter(t, torch.ones(ctx.size, 5, device=ctx.device))),
        ((ctx.size, 2), lambda t: comm.all_to_all(t, t.clone(), [0] * ctx.size, None)),
        ((4,), lambda t: comm.recv(t, ctx.size)),
    )
    for shape, call in wrong:
        buffer = ctx.poison(shape, kind)
        before = buffer.now()
        try:
            call(buffer.tensor)
        except ArgumentError:
            buffer.expect(before, "the output of a refused call")
        else:
            raise AssertionError("a wrong call was accepted")
    comm.barrier()
