"""What copies and fills read and write. Arguments are as in :class:`accel.providers.Memcpy`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..providers import MemRef, Operand
from .extents import rows

if TYPE_CHECKING:
    from .recorder import Recorder

__all__ = ["MEMCPY_CALLS"]


def copy(r: Recorder, call: str, dst: Operand, src: Operand, stream: Any = None) -> None:
    copy_async(r, call, dst, src, stream)
    r.learn(r.stream(stream).snapshot())  # it returned when the bytes were there


def copy_async(r: Recorder, call: str, dst: Operand, src: Operand, stream: Any = None) -> None:
    when = r.submit(stream, call)
    r.operand(when, src, False, "src")
    r.operand(when, dst, True, "dst")


def copy_batch(
    r: Recorder, call: str, dsts: Sequence[Operand], srcs: Sequence[Operand], stream: Any = None
) -> None:
    when = r.submit(stream, call)
    for i, src in enumerate(srcs):
        r.operand(when, src, False, f"srcs[{i}]")
    for i, dst in enumerate(dsts):
        r.operand(when, dst, True, f"dsts[{i}]")


def copy_2d(
    r: Recorder,
    call: str,
    dst: Operand,
    src: Operand,
    *,
    width: int,
    height: int,
    dst_pitch: int,
    src_pitch: int,
    stream: Any = None,
) -> None:
    when = r.submit(stream, call)
    for name, operand, pitch in (("src", src, src_pitch), ("dst", dst, dst_pitch)):
        box = rows(_address(operand), width, height, pitch)
        if box is not None:
            r.operand(when, operand, name == "dst", name, box)


def fill(r: Recorder, call: str, dst: Operand, value: int, stream: Any = None) -> None:
    r.operand(r.submit(stream, call), dst, True, "dst")


def _address(operand: Operand) -> int:
    return operand.pointer if isinstance(operand, MemRef) else operand.data_ptr()


#: Takes the recorder, the call's name for people, and the call's own arguments.
MEMCPY_CALLS: dict[str, Callable[..., None]] = {
    f.__name__: f for f in (copy, copy_async, copy_batch, copy_2d, fill)
}
