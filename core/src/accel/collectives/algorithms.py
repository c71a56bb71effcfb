"""Collectives composed from messages, on contiguous host memory.

``group`` carries the messages; ``what`` describes the call in words and must be the same on every
rank (messages.py checks it); every wait shares ``deadline``. Reductions fold in rank order. Large
reductions are a reduce-scatter and an all-gather: 2 (n-1)/n times the bytes over each link.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .failures import Deadline
from .messages import Edge, Exchange, MessageGroup
from .reductions import Fold

__all__ = [
    "all_gather",
    "all_reduce",
    "all_to_all",
    "barrier",
    "broadcast",
    "gather",
    "reduce",
    "reduce_scatter",
    "scatter",
]

#: Up to this many bytes, one step in which everyone tells everyone beats two with less traffic.
SMALL_BYTES = 16 << 10
#: Reductions of more than this are folded in parts.
SEGMENT_BYTES = 4 << 20
#: From this many bytes, a broadcast is a scatter and an all-gather instead of a tree.
LARGE_BROADCAST_BYTES = 1 << 20


def _others(group: MessageGroup) -> list[int]:
    """Peers, each rank starting after itself so that no one is everybody's first."""
    return [(group.rank + i) % group.size for i in range(1, group.size)]


def _pieces(flat: torch.Tensor, count: int) -> list[torch.Tensor]:
    """``count`` consecutive parts of nearly equal length; the last may be empty."""
    length = -(-flat.numel() // count)
    return [flat[i * length : (i + 1) * length] for i in range(count)]


def barrier(group: MessageGroup, what: str, deadline: Deadline) -> None:
    nothing = torch.empty(0, dtype=torch.uint8)
    edges = [Edge(p, nothing, what) for p in _others(group)]
    group.exchange(edges, edges).finish(deadline)


def all_gather(
    group: MessageGroup,
    what: str,
    rows: Sequence[torch.Tensor],
    mine: torch.Tensor,
    deadline: Deadline,
) -> None:
    """``rows[r]`` becomes rank r's ``mine``."""
    peers = _others(group)
    exchange = group.exchange(
        [Edge(p, mine, what) for p in peers], [Edge(p, rows[p], what) for p in peers]
    )
    rows[group.rank].copy_(mine)
    exchange.finish(deadline)


def all_to_all(
    group: MessageGroup,
    what: str,
    outputs: Sequence[torch.Tensor],
    inputs: Sequence[torch.Tensor],
    deadline: Deadline,
) -> None:
    """``inputs[r]`` goes to rank r and arrives there in ``outputs[this rank]``."""
    me, peers = group.rank, _others(group)

    def label(source: int, target: int, rows: torch.Tensor) -> str:
        return f"{what}, {rows.numel()} elements from {source} to {target}"

    exchange = group.exchange(
        [Edge(p, inputs[p], label(me, p, inputs[p])) for p in peers],
        [Edge(p, outputs[p], label(p, me, outputs[p])) for p in peers],
    )
    outputs[me].copy_(inputs[me])
    exchange.finish(deadline)


def gather(
    group: MessageGroup,
    what: str,
    rows: Sequence[torch.Tensor] | None,
    mine: torch.Tensor,
    root: int,
    deadline: Deadline,
) -> None:
    if group.rank != root or rows is None:
        group.exchange([Edge(root, mine, what)], ()).finish(deadline)
        return
    exchange = group.exchange((), [Edge(p, rows[p], what) for p in _others(group)])
    rows[root].copy_(mine)
    exchange.finish(deadline)


def scatter(
    group: MessageGroup,
    what: str,
    mine: torch.Tensor,
    rows: Sequence[torch.Tensor] | None,
    root: int,
    deadline: Deadline,
) -> None:
    if group.rank != root or rows is None:
        group.exchange((), [Edge(root, mine, what)]).finish(deadline)
        return
    exchange = group.exchange([Edge(p, rows[p], what) for p in _others(group)], ())
    mine.copy_(rows[root])
    exchange.finish(deadline)


def broadcast(
    group: MessageGroup, what: str, data: torch.Tensor, root: int, deadline: Deadline
) -> None:
    large = data.numel() * data.element_size() >= LARGE_BROADCAST_BYTES
    if large and group.size > 2:
        _broadcast_pieces(group, what, data.reshape(-1), root, deadline)
    else:
        _broadcast_tree(group, what, data, root, deadline)


def _broadcast_tree(
    group: MessageGroup, what: str, data: torch.Tensor, root: int, deadline: Deadline
) -> None:
    place = (group.rank - root) % group.size
    step = 1
    while step < group.size and not place & step:
        step <<= 1
    if place:
        parent = (place - step + root) % group.size
        group.exchange((), [Edge(parent, data, what)]).finish(deadline)
    children = []
    while step > 1:
        step >>= 1
        if place + step < group.size:
            children.append(Edge((place + step + root) % group.size, data, what))
    group.exchange(children, ()).finish(deadline)


def _broadcast_pieces(
    group: MessageGroup, what: str, flat: torch.Tensor, root: int, deadline: Deadline
) -> None:
    # The root hands piece r to rank r, which passes it on; the root's own piece goes to everyone.
    pieces = _pieces(flat, group.size)
    second = what + ", passed on"
    peers = _others(group)
    if group.rank == root:
        group.exchange([Edge(p, pieces[p], what) for p in peers], ()).finish(deadline)
        group.exchange([Edge(p, pieces[root], second) for p in peers], ()).finish(deadline)
        return
    first = group.exchange((), [Edge(root, pieces[group.rank], what)])
    passed_on = group.exchange((), [Edge(p, pieces[p], second) for p in peers])
    first.finish(deadline)
    mine = pieces[group.rank]
    outgoing = group.exchange([Edge(p, mine, second) for p in peers if p != root], ())
    passed_on.finish(deadline)
    outgoing.finish(deadline)


def _fold_rows(
    group: MessageGroup,
    what: str,
    rows: Sequence[torch.Tensor],
    op: str,
    out: torch.Tensor,
    deadline: Deadline,
) -> None:
    """``out`` (flat, may be ``rows[rank]``) becomes the reduction of everyone's row ``rank``.

    In segments, so that what was received is folded while it is in the cache and while the next
    segment is on its way.
    """
    me, peers = group.rank, _others(group)
    mine = rows[me]
    # Pieces differ in length between ranks; every rank makes as many steps as the longest needs.
    length = max(1, SEGMENT_BYTES // mine.element_size())
    steps = max(1, max(-(-row.numel() // length) for row in rows))

    def start(step: int) -> tuple[Exchange, dict[int, torch.Tensor]]:
        cut = slice(step * length, (step + 1) * length)
        theirs = {p: torch.empty_like(mine[cut]) for p in peers}
        part = what if step == 0 else f"{what}, part {step}"
        exchange = group.exchange(
            [Edge(p, rows[p][cut], part) for p in peers],
            [Edge(p, theirs[p], part) for p in peers],
        )
        return exchange, theirs

    following = start(0)
    for step in range(steps):
        exchange, theirs = following
        if step == 0:
            # Until everyone is known to be in this call, nothing else is sent.
            for rank in peers:
                exchange.receive(rank, deadline)
        if step + 1 < steps:
            following = start(step + 1)
        cut = slice(step * length, (step + 1) * length)
        fold = Fold(op, out[cut], group.size)
        for rank in range(group.size):
            if rank != me:
                exchange.receive(rank, deadline)
            fold.add(mine[cut] if rank == me else theirs.pop(rank), scratch=rank != me)
        exchange.finish(deadline)


def reduce_scatter(
    group: MessageGroup,
    what: str,
    out: torch.Tensor,
    rows: Sequence[torch.Tensor],
    op: str,
    deadline: Deadline,
) -> None:
    flat = [row.reshape(-1) for row in rows]
    _fold_rows(group, what, flat, op, out.reshape(-1), deadline)


def all_reduce(
    group: MessageGroup, what: str, data: torch.Tensor, op: str, deadline: Deadline
) -> None:
    flat = data.reshape(-1)
    if flat.numel() * flat.element_size() <= SMALL_BYTES:
        rows = flat.new_empty((group.size, flat.numel()))
        all_gather(group, what, rows.unbind(), flat, deadline)
        _fold_all(rows, op, flat)
        return
    pieces = _pieces(flat, group.size)
    mine = pieces[group.rank]
    _fold_rows(group, what, pieces, op, mine, deadline)
    second, peers = what + ", reduced", _others(group)
    group.exchange(
        [Edge(p, mine, second) for p in peers],
        [Edge(p, pieces[p], second) for p in peers],
    ).finish(deadline)


def reduce(
    group: MessageGroup, what: str, data: torch.Tensor, root: int, op: str, deadline: Deadline
) -> None:
    """``data`` changes on the root only."""
    flat = data.reshape(-1)
    at_root = group.rank == root
    if flat.numel() * flat.element_size() <= SMALL_BYTES:
        rows = flat.new_empty((group.size, flat.numel())) if at_root else None
        gather(group, what, None if rows is None else rows.unbind(), flat, root, deadline)
        if rows is not None:
            _fold_all(rows, op, flat)
        return
    pieces = _pieces(flat, group.size)
    mine = pieces[group.rank] if at_root else torch.empty_like(pieces[group.rank])
    _fold_rows(group, what, pieces, op, mine, deadline)
    second = what + ", reduced"
    if at_root:
        edges = [Edge(p, pieces[p], second) for p in _others(group)]
        group.exchange((), edges).finish(deadline)
    else:
        group.exchange([Edge(root, mine, second)], ()).finish(deadline)


def _fold_all(rows: torch.Tensor, op: str, out: torch.Tensor) -> None:
    fold = Fold(op, out, rows.shape[0])
    for row in rows.unbind():
        fold.add(row, scratch=True)
