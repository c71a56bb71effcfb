"""What orders work: events, waits, synchronisation, callbacks."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from ..interpose.interposition import Interposition, Method
from .clocks import Snapshot
from .recorder import Recorder

__all__ = ["Order"]


class Order:
    """The methods of streams and events that a sanitizer stands in front of.

    What releases (recording) is noted before it is done and what acquires (waiting) after, so that
    another thread cannot come in between and find the order missing.
    """

    def __init__(self, recorder: Recorder, interposition: Interposition) -> None:
        self._r = recorder
        self._interposition = interposition
        self._events: weakref.WeakKeyDictionary[Any, Snapshot] = weakref.WeakKeyDictionary()

    def method(self, kind: str, name: str, inner: Method) -> Method | None:
        """What replaces a method of a stream or an event."""
        make: Callable[[Method], Method] | None = getattr(self, f"_{kind}_{name}", None)
        return make(inner) if make is not None else None

    def synchronize_all(self, inner: Method) -> Method:
        """``backend.streams.synchronize``."""
        r = self._r

        def synchronize() -> None:
            if r.here.depth:
                return inner()  # type: ignore[no-any-return]
            snapshots = [t.snapshot() for t in r.streams()]
            try:
                self._inside(inner)
            finally:
                for snapshot in snapshots:
                    r.learn(snapshot)
            return None

        return synchronize

    # --- streams ---------------------------------------------------------------------------------

    def _stream_query(self, inner: Method) -> Method:
        r = self._r

        def query(stream: Any) -> bool:
            if r.here.depth:
                return inner(stream)  # type: ignore[no-any-return]
            snapshot = r.stream(stream).snapshot()
            done: bool = inner(stream)
            if done:
                r.learn(snapshot)
            return done

        return query

    def _stream_synchronize(self, inner: Method) -> Method:
        r = self._r

        def synchronize(stream: Any) -> None:
            if r.here.depth:
                return inner(stream)  # type: ignore[no-any-return]
            snapshot = r.stream(stream).snapshot()
            try:
                self._inside(inner, stream)
            finally:  # an AsyncError comes when all is over
                r.learn(snapshot)
            return None

        return synchronize

    def _stream_wait_event(self, inner: Method) -> Method:
        def wait_event(stream: Any, event: Any) -> None:
            if not self._r.here.depth:
                self._interposition.adopt("event", event)
            self._inside(inner, stream, event)
            self._wait(stream, event)

        return wait_event

    def _stream_wait_stream(self, inner: Method) -> Method:
        r = self._r

        def wait_stream(stream: Any, *args: Any, **kwargs: Any) -> None:
            if r.here.depth:
                return inner(stream, *args, **kwargs)  # type: ignore[no-any-return]
            other = args[0] if args else kwargs.get("stream")
            snapshot = self._now(other)
            self._inside(inner, stream, *args, **kwargs)
            with r.lock:
                timeline = r.stream(stream)
                timeline.join(r.host().snapshot())
                timeline.join(snapshot)
                self._inline(stream)
            return None

        return wait_stream

    def _stream_record_event(self, inner: Method) -> Method:
        r = self._r

        def record_event(stream: Any, event: Any = None) -> Any:
            if r.here.depth:
                return inner(stream, event)
            snapshot = self._now(stream)
            before = self._set(event, snapshot) if event is not None else None
            try:
                recorded = self._inside(inner, stream, event)
            except BaseException:
                if event is not None:
                    self._set(event, before)
                raise
            self._interposition.adopt("event", recorded)
            if event is None:
                self._set(recorded, snapshot)
            return recorded

        return record_event

    def _stream_add_callback(self, inner: Method) -> Method:
        r = self._r

        def add_callback(stream: Any, fn: Callable[[], object]) -> None:
            if r.here.depth or not callable(fn):
                return inner(stream, fn)  # type: ignore[no-any-return]
            with r.lock:
                view = r.view(stream)

            def noted() -> object:
                with r.callback(view):
                    return fn()

            self._inside(inner, stream, noted)
            self._inline(stream)
            return None

        return add_callback

    # --- events ----------------------------------------------------------------------------------

    def _event_record(self, inner: Method) -> Method:
        r = self._r

        def record(event: Any, stream: Any = None) -> None:
            if r.here.depth:
                return inner(event, stream)  # type: ignore[no-any-return]
            before = self._set(event, self._now(stream))
            try:
                self._inside(inner, event, stream)
            except BaseException:
                self._set(event, before)
                raise
            return None

        return record

    def _event_wait(self, inner: Method) -> Method:
        def wait(event: Any, stream: Any = None) -> None:
            self._inside(inner, event, stream)
            self._wait(stream, event)

        return wait

    def _event_query(self, inner: Method) -> Method:
        r = self._r

        def query(event: Any) -> bool:
            if r.here.depth:
                return inner(event)  # type: ignore[no-any-return]
            snapshot = self._get(event)
            done: bool = inner(event)
            if done:
                r.learn(snapshot)
            return done

        return query

    def _event_synchronize(self, inner: Method) -> Method:
        r = self._r

        def synchronize(event: Any) -> None:
            if r.here.depth:
                return inner(event)  # type: ignore[no-any-return]
            snapshot = self._get(event)
            try:
                self._inside(inner, event)
            finally:
                r.learn(snapshot)
            return None

        return synchronize

    # --- shared ----------------------------------------------------------------------------------

    def _inside(self, inner: Method, *args: Any, **kwargs: Any) -> Any:
        """Call the plugin; what it calls in turn is its own affair."""
        here = self._r.here
        here.depth += 1
        try:
            return inner(*args, **kwargs)
        finally:
            here.depth -= 1

    def _now(self, stream: Any) -> Snapshot:
        """All that was given to a stream so far."""
        r = self._r
        with r.lock:
            timeline, host = r.stream(stream), r.host()
            if timeline is not host:
                timeline.join(host.snapshot())
            return timeline.snapshot()

    def _wait(self, stream: Any, event: Any) -> None:
        r = self._r
        if r.here.depth:
            return
        with r.lock:
            snapshot = self._get(event)
            timeline = r.stream(stream)
            timeline.join(r.host().snapshot())
            if snapshot is not None:
                timeline.join(snapshot)
            self._inline(stream)

    def _inline(self, stream: Any) -> None:
        """Work of the CPU's default stream is done when the call returns."""
        timeline = self._r.stream(stream)
        if self._r.inline(timeline):
            self._r.learn(timeline.snapshot())

    def _get(self, event: Any) -> Snapshot | None:
        return self._events.get(event)

    def _set(self, event: Any, snapshot: Snapshot | None) -> Snapshot | None:
        before = self._events.get(event)
        if snapshot is None:
            self._events.pop(event, None)
        else:
            self._events[event] = snapshot
        return before
