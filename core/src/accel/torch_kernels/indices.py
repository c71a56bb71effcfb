"""Index lists that lie on the device: padding and errors are masked there, and told later."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DeviceError, DTypeError, ShapeError, SlotError

if TYPE_CHECKING:
    import torch

    from ..providers import Stream
    from .queue import DeviceQueue

__all__ = ["CHECK_VARIABLE", "MaskedPairs", "check_lists", "mask_pairs", "reads_back", "report"]

#: Index tensors on the device are read back and checked before anything is done, as on the host.
CHECK_VARIABLE = "ACCEL_CHECK_DEVICE_SLOTS"


def reads_back() -> bool:
    """Whether the environment asks for lists on the device to be checked before a call works."""
    return os.environ.get(CHECK_VARIABLE, "") not in ("", "0")


def check_lists(names: tuple[str, str], lists: tuple[object, object], device: torch.device) -> bool:
    """Whether two index lists lie on ``device``, not on the host.

    Raises:
        DTypeError, ShapeError, DeviceError: not 1-D int32/int64 tensors of equal length in one of
            the two places.
    """
    import torch

    for name, given in zip(names, lists, strict=True):
        if not isinstance(given, torch.Tensor) or given.dtype not in (torch.int32, torch.int64):
            what = given.dtype if isinstance(given, torch.Tensor) else type(given).__name__
            raise DTypeError(name, "an int32 or int64 tensor", what)
        if given.dim() != 1:
            raise ShapeError(name, "one axis", tuple(given.shape))
        if given.device.type != "cpu" and given.device != device:
            raise DeviceError(name, f"an index tensor on the host or on {device}", given.device)
    first, second = lists
    assert isinstance(first, torch.Tensor)
    assert isinstance(second, torch.Tensor)
    if first.device != second.device:
        raise DeviceError(names[1], f"device {first.device} as {names[0]}", second.device)
    if len(first) != len(second):
        raise ShapeError(names[1], f"{len(first)} indices as {names[0]} has", len(second))
    return first.device.type != "cpu"


@dataclass(frozen=True, eq=False)
class MaskedPairs:
    """Pairs of which those to skip have become copies of one that counts.

    Writing the same bytes to the same place twice changes nothing, so no list has to be made
    shorter, which would mean reading it. Where no pair counts, all are ``(0, 0)``, and what is
    written must be what is there: ``any_counts`` is False.
    """

    src: torch.Tensor  #: int64 ``[n]``
    dst: torch.Tensor
    any_counts: torch.Tensor  #: bool ``[]``
    finding: torch.Tensor  #: int64 ``[4]``: anything wrong, where, and that pair's indices


def mask_pairs(src: torch.Tensor, dst: torch.Tensor, src_units: int, dst_units: int) -> MaskedPairs:
    """Padding and indices past the end skipped; neither list is empty, both sides have units."""
    import torch

    src, dst = src.long(), dst.long()
    given = (src >= 0) & (dst >= 0)
    inside = (src < src_units) & (dst < dst_units)
    counts = given & inside
    one = counts.int().argmax().reshape(1)
    wrong = given & ~inside
    bad = wrong.int().argmax().reshape(1)
    found = (wrong.any().long().reshape(1), bad, src.index_select(0, bad), dst.index_select(0, bad))
    any_counts = counts.any()
    zero = torch.zeros_like(one)
    fill_src = torch.where(any_counts, src.index_select(0, one), zero)
    fill_dst = torch.where(any_counts, dst.index_select(0, one), zero)
    return MaskedPairs(
        torch.where(counts, src, fill_src),
        torch.where(counts, dst, fill_dst),
        any_counts,
        torch.cat(found),
    )


def report(
    queue: DeviceQueue,
    stream: Stream | None,
    finding: torch.Tensor,
    units: tuple[int, int],
    names: tuple[str, str],
) -> None:
    """Raise what was found at the stream's next synchronisation, by a host callback."""
    seen = queue.staging(finding.shape, finding.dtype)
    queue.to_host(seen, finding, stream)

    def tell() -> None:
        anything, at, src, dst = seen.tolist()
        if anything:
            side = 0 if src >= units[0] else 1
            given = f"{(src, dst)[side]} at position {at}"
            raise SlotError(names[side], f"indices below {units[side]}", given)

    queue.host_part(stream, tell)
