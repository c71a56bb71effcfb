"""Collectives that move bytes: broadcast, all_gather, gather, scatter, all_to_all."""

from __future__ import annotations

import torch

from .context import FORMS, Context, program

SHAPES: tuple[tuple[int, ...], ...] = ((3, 5), (1,), (0,), (), (2, 3, 4), (9001,))


def _cases(dtype: str) -> list[tuple[torch.dtype, tuple[int, ...], str]]:
    kind = getattr(torch, dtype)
    forms = [(shape, FORMS[i % len(FORMS)]) for i, shape in enumerate(SHAPES)]
    forms += [((3, 5), form) for form in FORMS]
    return [(kind, shape, form) for shape, form in forms]


@program
def broadcast(ctx: Context, dtype: str, async_op: bool = False) -> None:
    for i, (kind, shape, form) in enumerate(_cases(dtype)):
        root = i % ctx.size
        sent = ctx.noise(root, shape, kind, i)
        mine = ctx.place(sent, form) if ctx.rank == root else ctx.poison(shape, kind, form)
        work = ctx.comm.broadcast(mine.tensor, root, async_op=async_op)
        assert (work is not None) == async_op, f"async_op={async_op} returned {work!r}"
        if work is not None:
            work.wait()
        mine.expect(sent, f"broadcast of {shape} {form} from {root}")


@program
def all_gather(ctx: Context, dtype: str, async_op: bool = False) -> None:
    for i, (kind, shape, form) in enumerate(_cases(dtype)):
        rows = [ctx.noise(r, shape, kind, i) for r in range(ctx.size)]
        mine = ctx.place(rows[ctx.rank], form)
        out = ctx.poison((ctx.size, *shape), kind, form)
        work = ctx.comm.all_gather(out.tensor, mine.tensor, async_op=async_op)
        if work is not None:
            work.wait()
        out.expect(torch.stack(rows), f"all_gather of {shape} {form}")
        mine.expect(rows[ctx.rank], "all_gather's input")


@program
def gather(ctx: Context, dtype: str, async_op: bool = False) -> None:
    for i, (kind, shape, form) in enumerate(_cases(dtype)):
        root = i % ctx.size
        rows = [ctx.noise(r, shape, kind, i) for r in range(ctx.size)]
        mine = ctx.place(rows[ctx.rank], form)
        out = ctx.poison((ctx.size, *shape), kind, form) if ctx.rank == root else None
        tensor = None if out is None else out.tensor
        work = ctx.comm.gather(tensor, mine.tensor, root, async_op=async_op)
        if work is not None:
            work.wait()
        if out is not None:
            out.expect(torch.stack(rows), f"gather of {shape} {form} to {root}")
        mine.expect(rows[ctx.rank], "gather's input")


@program
def scatter(ctx: Context, dtype: str, async_op: bool = False) -> None:
    for i, (kind, shape, form) in enumerate(_cases(dtype)):
        root = i % ctx.size
        whole = ctx.noise(root, (ctx.size, *shape), kind, i)
        given = ctx.place(whole, form) if ctx.rank == root else None
        out = ctx.poison(shape, kind, form)
        tensor = None if given is None else given.tensor
        work = ctx.comm.scatter(out.tensor, tensor, root, async_op=async_op)
        if work is not None:
            work.wait()
        out.expect(whole[ctx.rank], f"scatter of {shape} {form} from {root}")
        if given is not None:
            given.expect(whole, "scatter's input")


@program
def all_to_all(ctx: Context, dtype: str, splits: str, async_op: bool = False) -> None:
    """Rows to everyone: equal parts, uneven ones, or parts some of which are empty."""
    kind, size = getattr(torch, dtype), ctx.size

    def rows(source: int, target: int) -> int:
        uneven = 1 + 2 * source + target
        return {"even": 3, "uneven": uneven, "empty": (source * target) % 3}[splits]

    for tail in ((), (5,), (2, 3)):
        for form in FORMS:
            sent = [
                ctx.noise(s, (sum(rows(s, t) for t in range(size)), *tail), kind, tail, form)
                for s in range(size)
            ]
            starts = [sum(rows(s, t) for t in range(ctx.rank)) for s in range(size)]
            parts = [sent[s].narrow(0, starts[s], rows(s, ctx.rank)) for s in range(size)]
            want = torch.cat(parts)
            mine, out = ctx.place(sent[ctx.rank], form), ctx.poison(want.shape, kind, form)
            lists: tuple[list[int] | None, list[int] | None] = (None, None)
            if splits != "even":
                lists = (
                    [rows(s, ctx.rank) for s in range(size)],
                    [rows(ctx.rank, t) for t in range(size)],
                )
            work = ctx.comm.all_to_all(out.tensor, mine.tensor, *lists, async_op=async_op)
            if work is not None:
                work.wait()
            out.expect(want, f"all_to_all {splits} of rows {tail} {form}")
            mine.expect(sent[ctx.rank], "all_to_all's input")


@program
def large(ctx: Context) -> None:
    """Sizes at which transports change their way of working, an odd element more."""
    count = (3 << 20) + 7
    sent = ctx.noise(0, (count,), torch.uint8, "large")
    mine = ctx.place(sent) if ctx.rank == 0 else ctx.poison((count,), torch.uint8)
    ctx.comm.broadcast(mine.tensor, 0)
    mine.expect(sent, "large broadcast")
    rows = [ctx.noise(r, (count,), torch.uint8, "rows") for r in range(ctx.size)]
    own, out = ctx.place(rows[ctx.rank]), ctx.poison((ctx.size, count), torch.uint8)
    ctx.comm.all_gather(out.tensor, own.tensor)
    out.expect(torch.stack(rows), "large all_gather")
    ones = ctx.place(torch.full((count,), ctx.rank + 1, dtype=torch.int32))
    ctx.comm.all_reduce(ones.tensor)
    total = ctx.size * (ctx.size + 1) // 2
    ones.expect(torch.full((count,), total, dtype=torch.int32), "large all_reduce")
