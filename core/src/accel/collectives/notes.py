"""Notes that ranks leave for one another when they give up.

A rank that fails closes its connections, and its peers then see "connection closed", whatever
happened. So it first leaves the reason in the world's key-value store; a peer that finds no reason
knows that the rank died.
"""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta
from typing import Any

__all__ = ["Notes"]

#: A note may still be on its way when the connection is already closed.
_LOOK_SECONDS = 0.4
#: The store itself may have died with its host.
_STORE_SECONDS = 2.0


class Notes:
    """One communicator's notes; ``key`` is the same on all its ranks and new for each of them."""

    def __init__(self, store: Any, key: str, rank: int) -> None:
        self._store = store
        self._key = key
        self._rank = rank

    def leave(self, kind: str, text: str) -> None:
        """Say why this rank goes: ``kind`` is timeout, error or closed."""
        value = json.dumps({"kind": kind, "text": text})
        self._guarded(lambda: self._store.set(f"{self._key}/{self._rank}", value))

    def read(self, rank: int) -> tuple[str, str] | None:
        """What ``rank`` left: (kind, text); None when it left nothing."""

        def look() -> tuple[str, str] | None:
            key = f"{self._key}/{rank}"
            end = time.monotonic() + _LOOK_SECONDS
            while not self._store.check([key]):
                if time.monotonic() > end:
                    return None
                time.sleep(0.02)
            self._store.wait([key], timedelta(seconds=1))
            note = json.loads(self._store.get(key))
            return str(note["kind"]), str(note["text"])

        note: tuple[str, str] | None = self._guarded(look)
        return note

    @staticmethod
    def _guarded(action: Any) -> Any:
        # A store whose host hangs would hold the caller past its own timeout.
        result: list[Any] = []

        def run() -> None:
            try:
                result.append(action())
            except RuntimeError:  # the store is gone: there are no notes any more
                result.append(None)

        thread = threading.Thread(target=run, name="accel-notes", daemon=True)
        thread.start()
        thread.join(_STORE_SECONDS)
        return result[0] if result else None
