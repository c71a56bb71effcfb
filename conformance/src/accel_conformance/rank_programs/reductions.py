"""Reductions, against sums made in float64 from every rank's regenerated input."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .context import FORMS, Context, program

#: Small ones, none, one element, and one that is cut into pieces (of uneven size).
SHAPES: tuple[tuple[int, ...], ...] = ((3, 5), (1,), (0,), (), (2, 3, 4), (30_011,))


def reference(rows: Sequence[torch.Tensor], op: str) -> tuple[torch.Tensor, torch.Tensor]:
    """``(result in float64 or int64, bound on the error)`` of contributions."""
    dtype = rows[0].dtype
    if not dtype.is_floating_point:
        wide = torch.stack([r.to(torch.int64) for r in rows])
        result = {
            "sum": lambda: wide.sum(0), "prod": lambda: wide.prod(0),
            "min": lambda: wide.amin(0), "max": lambda: wide.amax(0),
        }[op]()  # fmt: skip
        return result, torch.zeros_like(result)
    wide = torch.stack([r.to(torch.float64) for r in rows])
    info, n = torch.finfo(dtype), len(rows)
    if op in ("min", "max"):
        result = wide.amin(0) if op == "min" else wide.amax(0)
        return result, torch.zeros_like(result)
    # Every addition or multiplication may round once in the dtype, and the division too.
    if op == "prod":
        return wide.prod(0), wide.abs().prod(0) * n * info.eps + info.tiny
    scale = n if op == "avg" else 1
    bound = wide.abs().sum(0) * (n + 1) * info.eps / scale + info.tiny
    return wide.sum(0) / scale, bound


def check(have: torch.Tensor, rows: Sequence[torch.Tensor], op: str, what: str) -> None:
    """Fail unless ``have`` is the reduction of ``rows``."""
    want, bound = reference(rows, op)
    error = (have.to(want.dtype) - want).abs()
    wrong = (~(error <= bound)).nonzero()
    assert have.shape == want.shape, f"{what}: {have.shape} against {want.shape}"
    assert not len(wrong), (
        f"{what}: {len(wrong)} of {want.numel()} elements are off, the first at "
        f"{wrong[0].tolist()}: {have[tuple(wrong[0])].item()!r} instead of "
        f"{want[tuple(wrong[0])].item()!r}"
    )


def _cases(dtype: str) -> list[tuple[torch.dtype, tuple[int, ...], str]]:
    kind = getattr(torch, dtype)
    forms = [(shape, FORMS[i % len(FORMS)]) for i, shape in enumerate(SHAPES)]
    forms += [((3, 5), form) for form in FORMS]
    return [(kind, shape, form) for shape, form in forms]


@program
def all_reduce(ctx: Context, dtype: str, op: str, async_op: bool = False) -> None:
    for kind, shape, form in _cases(dtype):
        rows = [ctx.numbers(r, shape, kind, shape, form) for r in range(ctx.size)]
        mine = ctx.place(rows[ctx.rank], form)
        work = ctx.comm.all_reduce(mine.tensor, op, async_op=async_op)  # type: ignore[arg-type]
        assert (work is not None) == async_op, f"async_op={async_op} returned {work!r}"
        if work is not None:
            work.wait()
        check(mine.now(), rows, op, f"all_reduce {op} of {shape} {form}")


@program
def reduce(ctx: Context, dtype: str, op: str, async_op: bool = False) -> None:
    for i, (kind, shape, form) in enumerate(_cases(dtype)):
        root = i % ctx.size
        rows = [ctx.numbers(r, shape, kind, shape, form) for r in range(ctx.size)]
        mine = ctx.place(rows[ctx.rank], form)
        work = ctx.comm.reduce(mine.tensor, root, op, async_op=async_op)  # type: ignore[arg-type]
        if work is not None:
            work.wait()
        what = f"reduce {op} of {shape} {form} to {root}"
        if ctx.rank == root:
            check(mine.now(), rows, op, what)
        else:
            mine.expect(rows[ctx.rank], f"{what}: another rank's tensor")


@program
def reduce_scatter(ctx: Context, dtype: str, op: str, async_op: bool = False) -> None:
    for kind, shape, form in _cases(dtype):
        whole = (ctx.size, *shape)
        inputs = [ctx.numbers(r, whole, kind, shape, form) for r in range(ctx.size)]
        mine, out = ctx.place(inputs[ctx.rank], form), ctx.poison(shape, kind, form)
        work = ctx.comm.reduce_scatter(out.tensor, mine.tensor, op, async_op=async_op)  # type: ignore[arg-type]
        if work is not None:
            work.wait()
        what = f"reduce_scatter {op} of {shape} {form}"
        check(out.now(), [x[ctx.rank] for x in inputs], op, what)
        mine.expect(inputs[ctx.rank], f"{what}: its input")


@program
def special_values(ctx: Context, dtype: str) -> None:
    """NaN, infinities and zeros on one rank reach every rank."""
    kind = getattr(torch, dtype)
    mine = torch.ones(6).to(kind)
    if ctx.rank == ctx.size - 1:
        mine = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, 1.0, 2.0]).to(kind)
    for op in ("sum", "avg", "prod", "max", "min"):
        buffer = ctx.place(mine)
        ctx.comm.all_reduce(buffer.tensor, op)
        now = buffer.now().float()
        if op in ("sum", "avg", "prod"):
            assert now[0].isnan(), f"{op}: NaN became {now[0]}"
            assert now[1] == float("inf"), f"{op}: inf became {now[1]}"
            assert now[2] == -float("inf"), f"{op}: -inf became {now[2]}"
        elif op == "max":
            assert now[1] == float("inf"), f"max: inf became {now[1]}"
            assert now[2] == 1, f"max of -inf and 1 became {now[2]}"
        else:
            assert now[1] == 1, f"min of inf and 1 became {now[1]}"
            assert now[2] == -float("inf"), f"min: -inf became {now[2]}"
