"""The layer in front of a backend: calls go on to the plugin, and are noted by the recorder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ..interpose.interposition import Interposition, Method
from .kv_calls import KV_CALLS, other_member
from .memcpy_calls import MEMCPY_CALLS
from .order_calls import Order
from .pinned_calls import Pinned

if TYPE_CHECKING:
    from .recorder import Recorder

__all__ = ["StandIn"]


class StandIn:
    """What a sanitizer puts in front of a backend's methods."""

    def __init__(self, recorder: Recorder, interposition: Interposition) -> None:
        self._r = recorder
        self._order = Order(recorder, interposition)
        self._pinned = Pinned(recorder)

    def provider_method(self, area: str, name: str, inner: Method) -> Method | None:
        if area == "memcpy" and name in MEMCPY_CALLS:
            return self._noting(inner, MEMCPY_CALLS[name], f"memcpy.{name}")
        if area == "kv":
            return self._noting(inner, KV_CALLS.get(name, other_member), f"kv.{name}")
        if area == "pinned":
            return self._pinned_method(name, inner)
        if (area, name) == ("streams", "synchronize"):
            return self._order.synchronize_all(inner)
        if (area, name) == ("streams", "use"):
            return self._quiet_use(inner)
        if (area, name) == ("streams", "capture"):
            return self._unseen_capture(inner)
        return None

    def object_method(self, kind: str, name: str, inner: Method) -> Method | None:
        if kind in ("stream", "event"):
            return self._order.method(kind, name, inner)
        if (kind, name) == ("buffer", "free"):
            return self._free(inner)
        return None

    def _noting(self, inner: Method, note: Callable[..., None], call: str) -> Method:
        r = self._r
        here, lock = r.here, r.lock

        def noted(*args: Any, **kwargs: Any) -> Any:
            if here.depth:
                return inner(*args, **kwargs)
            here.depth = 1
            try:
                result = inner(*args, **kwargs)
                with lock:
                    note(r, call, *args, **kwargs)
                return result
            finally:
                here.depth = 0

        return noted

    def _pinned_method(self, name: str, inner: Method) -> Method | None:
        r, pinned = self._r, self._pinned
        here, lock = r.here, r.lock
        if name in ("allocate", "empty", "create_shared", "open_shared"):

            def allocate(*args: Any, **kwargs: Any) -> Any:
                if here.depth:
                    return inner(*args, **kwargs)
                here.depth = 1
                try:
                    made = inner(*args, **kwargs)
                    pointer = made.data_ptr() if name == "empty" else made.pointer
                    with lock:
                        pinned.handed_out(pointer, made.nbytes, "pinned.allocate")
                    return made
                finally:
                    here.depth = 0

            return allocate
        if name == "record_stream":

            def record_stream(memory: Any, stream: Any) -> None:
                inner(memory, stream)
                if not here.depth:
                    with lock:
                        pinned.record_stream(memory, stream)

            return record_stream
        return None

    def _free(self, inner: Method) -> Method:
        r, pinned = self._r, self._pinned

        def free(buffer: Any) -> None:
            if r.here.depth:
                return inner(buffer)  # type: ignore[no-any-return]
            r.here.depth = 1
            try:
                freed = getattr(buffer, "freed", False)
                place = None if freed else (buffer.pointer, buffer.nbytes)
                inner(buffer)
                if place is not None:
                    with r.lock:
                        pinned.freed(*place)
            finally:
                r.here.depth = 0
            return None

        return free

    def _quiet_use(self, inner: Method) -> Method:
        """What a plugin does to enter and leave a stream is its own affair."""
        here = self._r.here

        def use(stream: Any) -> AbstractContextManager[Any]:
            return _Quiet(inner(stream), here)

        return use

    def _unseen_capture(self, inner: Method) -> Method:
        """What is captured does not run: nothing of it is noted, nor are replays."""
        here = self._r.here

        def capture(stream: Any) -> AbstractContextManager[Any]:
            return _Unseen(inner(stream), here)

        return capture


class _Unseen:
    def __init__(self, scope: AbstractContextManager[Any], here: Any) -> None:
        self._scope, self._here = scope, here

    def __enter__(self) -> Any:
        entered = self._scope.__enter__()
        self._here.depth += 1
        return entered

    def __exit__(self, *exc: Any) -> Any:
        self._here.depth -= 1
        return self._scope.__exit__(*exc)


class _Quiet:
    def __init__(self, scope: AbstractContextManager[Any], here: Any) -> None:
        self._scope, self._here = scope, here

    def __enter__(self) -> Any:
        self._here.depth += 1
        try:
            return self._scope.__enter__()
        finally:
            self._here.depth -= 1

    def __exit__(self, *exc: Any) -> Any:
        self._here.depth += 1
        try:
            return self._scope.__exit__(*exc)
        finally:
            self._here.depth -= 1
