"""Which cases of the suite to run."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .case import LEVELS

__all__ = ["compile_pattern", "matches_any", "parse_levels"]

_LEVELS = re.compile(r"L?(\d)(?:\s*(?:\.\.|-|:)\s*L?(\d))?\Z", re.IGNORECASE)


def parse_levels(texts: Iterable[str]) -> frozenset[int]:
    """The levels named by ``L1``, ``1``, ``L0..L2`` or ``0-2``; all of them when none is named.

    Raises:
        ValueError: says which text is wrong and what is expected.
    """
    chosen: set[int] = set()
    for text in texts:
        for part in text.split(","):
            match = _LEVELS.match(part.strip())
            first = int(match[1]) if match else -1
            last = int(match[2] or match[1]) if match else -1
            if first not in LEVELS or last not in LEVELS or last < first:
                known = f"L{min(LEVELS)} to L{max(LEVELS)}, or a range such as L0..L2"
                raise ValueError(f"level: expected {known}, given {part!r}")
            chosen.update(range(first, last + 1))
    return frozenset(chosen or LEVELS)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """What matches a case id: an id, an id without its ``[parameters]``, or one with ``*``.

    Brackets stand for themselves, as ids have them.
    """
    text = ".*".join(re.escape(part) for part in pattern.split("*"))
    optional = "" if "[" in pattern else r"(\[.*\])?"
    return re.compile(text + optional + r"\Z", re.DOTALL)


def matches_any(case_id: str, patterns: Iterable[re.Pattern[str]]) -> bool:
    """True when one of the patterns matches the whole id."""
    return any(pattern.match(case_id) for pattern in patterns)
