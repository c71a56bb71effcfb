"""Planned failures: which call of a process fails, and how.

A fault is written as ``call=NAME,nth=3,code=507899``: the third call of that function in a process
returns that code instead of doing anything. With ``where=stream`` the call succeeds, and its work
fails when the stream comes to it. Some things that go wrong are no failing call, and have a name of
their own in its place:

========================  ========================================================================
``oom,nth=N``             the N-th allocation of device memory finds none left
``rank_dies,nth=N``       the process ends at its N-th collective; ``rank=R``: only rank R does
``copy_stalls,nth=N``     the N-th copy of a stream waits for ``ms=M`` milliseconds, or for good
========================  ========================================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import ModeError

__all__ = ["SPECIAL", "Fault"]

#: Names that are no function of a vendor, and the keys that each takes beside ``nth``.
SPECIAL = {"oom": (), "rank_dies": ("rank",), "copy_stalls": ("ms",)}
_NAME = re.compile(r"[A-Za-z_]\w*\Z")
_KEYS = ("call", "nth", "code", "where", "rank", "ms")
_EXTRA = _KEYS[2:]


@dataclass(frozen=True)
class Fault:
    """One planned failure.

    Attributes:
        call: a function of the vendor's ABI, or a name of :data:`SPECIAL`.
        nth: which call of a process fails, counted from 1.
        code: what it returns; None takes the code that the vendor has for such a failure.
        where: "stream": the call succeeds and its work fails on the stream; None: the call fails.
        rank: of ``rank_dies``: which rank of a communicator; None takes every rank.
        ms: of ``copy_stalls``: how many milliseconds; None: until the stream is aborted.
    """

    call: str
    nth: int = 1
    code: int | None = None
    where: str | None = None
    rank: int | None = None
    ms: int | None = None

    def __post_init__(self) -> None:
        if not _NAME.match(self.call):
            raise ModeError(
                f"fault: expected a function such as aclrtMemcpyAsync, or one of"
                f" {', '.join(SPECIAL)}, given {self.call!r}"
            )
        for key, least in (("nth", 1), ("code", 1), ("rank", 0), ("ms", 0)):
            value = getattr(self, key)
            if value is not None and value < least:
                raise ModeError(f"fault {self.call}: expected {key} >= {least}, given {value}")
        if self.where not in (None, "stream"):
            raise ModeError(f"fault {self.call}: expected where=stream, given {self.where!r}")
        takes = SPECIAL.get(self.call, ("code", "where"))
        for key in _EXTRA:
            if getattr(self, key) is not None and key not in takes:
                may = ", ".join(("nth", *takes))
                raise ModeError(f"fault {self.call}: takes {may}, given {key} as well")

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read one fault, as it is given on the command line.

        Raises:
            ModeError: says what cannot be understood.
        """
        values: dict[str, str] = {}
        for position, part in enumerate(text.split(",")):
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals and position == 0 and key in SPECIAL:
                key, value = "call", key
            elif not equals or not value or key not in _KEYS:
                raise ModeError(
                    f"fault: expected {', '.join(f'{k}=...' for k in _KEYS)}, or"
                    f" {', '.join(SPECIAL)} in front, given {part.strip()!r} in {text!r}"
                )
            if key in values:
                raise ModeError(f"fault: {key} is given twice in {text!r}")
            values[key] = value
        if "call" not in values:
            raise ModeError(
                f"fault: expected call=NAME, or {', '.join(SPECIAL)}, given none in {text!r}"
            )
        call, where = values.pop("call"), values.pop("where", None)
        numbers = {key: _number(key, value) for key, value in values.items()}
        return cls(call, where=where, **numbers)

    def __str__(self) -> str:
        """As ``ACCEL_SIM_FAULTS`` has it."""
        parts = [f"call={self.call}", f"nth={self.nth}"]
        for key in _EXTRA:
            value = getattr(self, key)
            if value is not None:
                parts.append(f"{key}={value}")
        return ",".join(parts)


def _number(key: str, text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ModeError(f"fault: expected a number for {key}, given {text!r}") from None
