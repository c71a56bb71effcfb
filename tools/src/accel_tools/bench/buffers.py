"""Flat buffers for the memcpy workloads, with guards around what may be written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .site import POISON, Kind, Site

if TYPE_CHECKING:
    import torch

__all__ = ["GuardedPair", "bytes_differ", "size_name"]

#: Bytes on either side of an output; a page, so that alignment is not disturbed.
GUARD = 4096


def size_name(nbytes: int) -> str:
    """``nbytes`` in the largest unit that divides it: "4 KiB"."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if nbytes >= unit and nbytes % unit == 0:
            return f"{nbytes // unit} {name}"
    return f"{nbytes} B"


@dataclass(frozen=True)
class GuardedPair:
    """A random source, and a destination in the middle of a poisoned buffer."""

    site: Site
    whole: torch.Tensor  #: guard, destination, guard
    dst: torch.Tensor
    src: torch.Tensor

    @classmethod
    def make(cls, site: Site, dst: Kind, src: Kind, nbytes: int, what: str) -> GuardedPair:
        import torch

        whole = site.empty(dst, nbytes + 2 * GUARD, torch.uint8)
        source = site.empty(src, nbytes, torch.uint8)
        site.randomise(source, site.generator(what))
        return cls(site, whole, whole[GUARD : GUARD + nbytes], source)

    def reset(self) -> None:
        """Poison the destination and its guards."""
        self.site.poison(self.whole)

    def check(self) -> str:
        """What is wrong with a copy of the whole source, or ""."""
        import torch

        guard = torch.full((GUARD,), POISON, dtype=torch.uint8)
        return bytes_differ(self.whole, torch.cat([guard, self.src.cpu(), guard]), GUARD)


def bytes_differ(got: torch.Tensor, expected: torch.Tensor, offset: int = 0) -> str:
    """The first byte that is not as expected, in words; "" when there is none.

    Args:
        offset: where the destination begins in ``got``, for the message.
    """
    import torch

    host = got.cpu()
    if torch.equal(host, expected):
        return ""
    at = int((host != expected).nonzero()[0])
    return f"byte {at - offset} is {int(host[at])}, must be {int(expected[at])}"
