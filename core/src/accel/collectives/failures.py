"""What a transport reports, and the errors that callers see."""

from __future__ import annotations

import time

__all__ = ["Deadline", "TransportError", "looks_like_timeout"]


class Deadline:
    """A point in time that several waits share."""

    __slots__ = ("end", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, at least a millisecond: transports read zero as "no limit"."""
        return max(self.end - time.monotonic(), 0.001)

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self.end


class TransportError(Exception):
    """A message could not be exchanged. Internal: becomes a CollectiveError of the caller's op.

    ``kind`` is ``timeout`` (nothing came in time), ``late`` (the caller of wait gave less time
    than the operation has), ``lost`` (the connection is gone) or ``mismatch`` (the peer is in
    another operation).
    """

    def __init__(self, kind: str, peer: int, detail: str, seconds: float = 0.0) -> None:
        self.kind = kind
        self.peer = peer
        self.detail = detail
        self.seconds = seconds  # how long was waited, for a timeout
        super().__init__(f"{kind} with rank {peer}: {detail}")


def looks_like_timeout(error: BaseException) -> bool:
    """Whether a torch.distributed error speaks of time running out (it has no type of its own)."""
    text = str(error).lower()
    return "timed out" in text or ("timeout" in text and "pair closure" not in text)
