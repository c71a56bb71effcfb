"""One row of a benchmark: what ran, how fast, against what, and whether it was right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from .measure import Timing
from .stream_trace import StreamSpan

__all__ = ["Comparison", "Row", "Status"]


class Status(str, Enum):
    OK = "ok"
    WRONG = "wrong"  #: the result was checked and is not what it must be
    ERROR = "error"  #: a claimed capability raised
    UNSUPPORTED = "unsupported"  #: the backend does not claim the capability
    SKIPPED = "skipped"  #: too large for the bound or the memory

    def __str__(self) -> str:
        return self.value

    @property
    def failed(self) -> bool:
        """True when the command must not exit with 0."""
        return self in (Status.WRONG, Status.ERROR)


@dataclass(frozen=True)
class Comparison:
    """Another way to move the same bytes, timed in turns with the row's own call."""

    what: str
    seconds: Timing | None
    ratio: float | None  #: its median over the row's: 1 is as fast, 2 is twice as fast
    reason: str = ""  #: why it was not timed
    allocates: bool = False  #: it returns new memory, the row's own call writes memory given to it

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "seconds": self.seconds.as_json() if self.seconds else None,
            "ratio": self.ratio,
            "reason": self.reason,
            "allocates": self.allocates,
        }


@dataclass(frozen=True)
class Row:
    """``bytes`` is the payload, one direction; ``gb_per_s`` counts it once, in 10**9 bytes."""

    name: str
    status: Status
    bytes: int
    capability: str
    level: str  #: how the backend claims to provide it
    labels: Mapping[str, str | int] = field(default_factory=dict)  #: shape, tokens, layouts, ...
    reason: str = ""  #: of anything but OK
    clock: str = ""
    seconds: Timing | None = None
    memcpy: Comparison | None = None  #: of the payload
    roofline: Comparison | None = None  #: of as many bytes read and written as the call must
    touched: int = 0  #: those bytes
    host: Timing | None = None  #: of the call alone, where the device is not the host
    device: Timing | None = None  #: where ``seconds`` are the host's
    sets: int = 1  #: of buffers that the calls went round, to meet none of them in the cache
    torch: tuple[Comparison, ...] = ()
    checked: int = 0  #: times the result was compared, all of it, and found right
    simulated: bool = False
    timeline: tuple[StreamSpan, ...] = ()  #: of one more call, where it was asked for

    @property
    def gb_per_s(self) -> float | None:
        if self.seconds is None or self.seconds.median <= 0 or not self.bytes:
            return None
        return self.bytes / self.seconds.median / 1e9

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "status": str(self.status),
            "reason": self.reason,
            "labels": dict(self.labels),
            "capability": self.capability,
            "level": self.level,
            "simulated": self.simulated,
            "bytes": self.bytes,
            "clock": self.clock,
            "seconds": self.seconds.as_json() if self.seconds else None,
            "gb_per_s": self.gb_per_s,
            "memcpy": self.memcpy.as_json() if self.memcpy else None,
            "roofline": self.roofline.as_json() if self.roofline else None,
            "touched": self.touched,
            "host": self.host.as_json() if self.host else None,
            "device": self.device.as_json() if self.device else None,
            "sets": self.sets,
            "torch": [comparison.as_json() for comparison in self.torch],
            "checked": self.checked,
            "timeline": [span.as_json() for span in self.timeline],
        }
