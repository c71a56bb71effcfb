"""The stream sanitizer: which two accesses race because a wait is missing. Off by default."""

from .report import Race, RaceSide
from .sanitizer import StreamSanitizer

__all__ = ["Race", "RaceSide", "StreamSanitizer"]
