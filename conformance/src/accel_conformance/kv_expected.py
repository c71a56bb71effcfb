"""What KV calls must leave behind: plain indexing on images of whole allocations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from .kv_inputs import INT_VIEWS, Arena, LabelledCache
from .one_thread import one_thread

__all__ = ["Expectation", "blocks_to_tokens"]


def blocks_to_tokens(pairs: Iterable[tuple[int, int]], block_size: int) -> list[tuple[int, int]]:
    """(source, destination) blocks as tokens; a negative block stays negative."""
    out: list[tuple[int, int]] = []
    for s, d in pairs:
        for i in range(block_size):
            out.append((s * block_size + i, d * block_size + i) if min(s, d) >= 0 else (-1, -1))
    return out


class Expectation:
    """Images of every allocation of some caches, moved along as the calls under test should.

    Make it before the call, tell it what the call means, and :meth:`check` afterwards. Whatever it
    was not told about must not have changed.
    """

    @one_thread()
    def __init__(self, *caches: LabelledCache) -> None:
        self._caches = caches
        self._images: dict[Arena, torch.Tensor] = {a: a.image() for c in caches for a in c.arenas}

    def rows(
        self, cache: LabelledCache, plane: int, layer: int, tokens: torch.Tensor
    ) -> torch.Tensor:
        """Expected contents of some tokens, ``[tokens, elements]`` of integers."""
        p = cache.planes[plane]
        flat = self._images[p.arena[layer]].view(INT_VIEWS[p.itemsize])
        return flat[p.index[layer, tokens]]

    @one_thread()
    def move(
        self, src: LabelledCache, dst: LabelledCache, pairs: Iterable[tuple[int, int]]
    ) -> None:
        """Every layer's tokens from ``src`` to ``dst``; pairs with a negative side are skipped."""
        kept = [(s, d) for s, d in pairs if s >= 0 and d >= 0]
        if not kept:
            return
        s, d = torch.tensor(kept).unbind(1)
        for i, plane in enumerate(dst.planes):
            for layer, arena in enumerate(plane.arena):
                rows = self.rows(src, i, layer, s)
                self._images[arena].view(rows.dtype)[plane.index[layer, d]] = rows

    @one_thread()
    def put(
        self,
        cache: LabelledCache,
        plane: int,
        layer: int,
        slots: Sequence[int],
        rows: torch.Tensor,
        columns: slice | torch.Tensor = slice(None),
    ) -> None:
        """Row i of ``rows`` [tokens, elements] into slot ``slots[i]``, if that is not negative."""
        p = cache.planes[plane]
        flat = self._images[p.arena[layer]].view(INT_VIEWS[p.itemsize])
        data = rows.cpu().contiguous().view(INT_VIEWS[p.itemsize])
        for i, slot in enumerate(slots):
            if slot >= 0:
                flat[p.index[layer, slot][columns]] = data[i]

    def of(self, *caches: LabelledCache) -> Expectation:
        """The same expectation of these caches only; holds no other."""
        part = Expectation()
        part._caches = caches
        part._images = {a: self._images[a] for c in caches for a in c.arenas}
        return part

    @one_thread()
    def check(self) -> None:
        """Compare whole allocations, byte for byte; synchronise first."""
        __tracebackhide__ = True
        for arena, want in self._images.items():
            have = arena.image()
            if not torch.equal(have, want):
                raise AssertionError(self._describe(arena, have, want))

    def _describe(self, arena: Arena, have: torch.Tensor, want: torch.Tensor) -> str:
        wrong = (have != want).nonzero().flatten()
        at = int(wrong[0])
        text = (
            f"{len(wrong)} of {len(want)} bytes are wrong; the first at byte {at}: expected "
            f"{int(want[at]):#04x}, found {int(have[at]):#04x}; it is "
        )
        for n, cache in enumerate(self._caches):
            for i, plane in enumerate(cache.planes):
                for layer, owner in enumerate(plane.arena):
                    if owner is not arena:
                        continue
                    hit = (plane.index[layer] == at // plane.itemsize).nonzero()
                    if len(hit):
                        token, element = hit[0].tolist()
                        return text + (
                            f"layer {layer}, plane {i}, token {token}, element {element} of "
                            f"cache {n} ({cache.cache!r})"
                        )
        return text + "padding or a guard band"
