"""Whether strided memory meets, decided from extents and strides without listing bytes.

A box is a base address and nested dimensions, the innermost a run of stride 1. Whether two boxes
have a byte in common is a small integer problem, solved exactly for the nested strides that
tensors have; for pathological strides the answer is "perhaps", that is yes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Dim", "Region", "box_meets_itself", "boxes_meet", "close_pairs", "merged_box"]

#: ``(extent, stride in bytes)``
Dim = tuple[int, int]

#: Steps of the search before "perhaps" is the answer; nested strides need some tens.
_BUDGET = 200_000


class Region(NamedTuple):
    """A box at an address; ``end`` is one past its last byte."""

    start: int
    end: int
    owner: int
    name: str
    dims: tuple[Dim, ...]


def merged_box(dims: Iterable[Dim]) -> tuple[Dim, ...]:
    """The dimensions, largest stride first, without those of extent 1; neighbours that step on
    from one another are one."""
    out: list[Dim] = []
    for n, s in sorted((d for d in dims if d[0] > 1), key=lambda d: d[1]):
        if out and s and s == out[-1][0] * out[-1][1]:
            out[-1] = (out[-1][0] * n, out[-1][1])
        else:
            out.append((n, s))
    return tuple(reversed(out))


def close_pairs(regions: list[Region]) -> Iterator[tuple[Region, Region]]:
    """Pairs whose bounds intersect, of regions sorted by start."""
    active: list[Region] = []
    for region in regions:
        active = [a for a in active if a.end > region.start]
        for a in active:
            yield a, region
        active.append(region)


#: (stride, lowest coefficient, highest coefficient)
_Term = tuple[int, int, int]


@lru_cache(maxsize=65536)
def boxes_meet(a: tuple[Dim, ...], b: tuple[Dim, ...], distance: int) -> bool:
    """Whether box ``a`` at 0 and box ``b`` at ``distance`` have a byte in common."""
    bounds: dict[int, tuple[int, int]] = {}
    for dims, sign in ((a, 1), (b, -1)):
        for n, s in dims:
            low, high = bounds.get(s, (0, 0))
            bounds[s] = (low, high + n - 1) if sign > 0 else (low - (n - 1), high)
    terms = tuple((s, *bounds[s]) for s in sorted(bounds, reverse=True) if s)
    return _reachable(terms, distance)


def box_meets_itself(dims: tuple[Dim, ...]) -> bool:
    """Whether two different indices of a box lead to the same byte."""
    span = 1
    for n, s in reversed(dims):
        if s < span:
            break
        span += (n - 1) * s
    else:
        return False  # nested: every stride steps over all that lies within
    if any(s == 0 for _, s in dims):
        return True
    terms = tuple((s, -(n - 1), n - 1) for n, s in dims)
    # Two indices differ first in dimension i, by +c without loss of generality.
    return any(
        _reachable(terms[i + 1 :], -c * s)
        for i, (s, _, most) in enumerate(terms)
        for c in range(1, most + 1)
        if c * s <= sum(t * h for t, _, h in terms[i + 1 :])
    )


def _reachable(terms: tuple[_Term, ...], target: int) -> bool:
    """Whether ``sum(c_i * stride_i) == target`` for coefficients within their bounds."""
    low, high = [0], [0]
    for s, least, most in reversed(terms):
        low.append(low[-1] + s * least)
        high.append(high[-1] + s * most)
    low.reverse()
    high.reverse()
    pending, steps = [(0, target)], 0
    while pending:
        i, rest = pending.pop()
        if not low[i] <= rest <= high[i]:
            continue
        if i == len(terms):
            return True  # both bounds are 0 here, so rest is
        s, least, most = terms[i]
        first = max(least, -((high[i + 1] - rest) // s))
        last = min(most, (rest - low[i + 1]) // s)
        steps += 1 + last - first
        if steps > _BUDGET:
            return True
        pending.extend((i + 1, rest - c * s) for c in range(first, last + 1))
    return False
