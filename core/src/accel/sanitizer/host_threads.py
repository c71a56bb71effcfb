"""Order between host threads: what the ``threading`` module and its locks establish.

While a sanitizer is on, starting and joining threads, conditions and all that is built on them
(events, queues, semaphores, barriers, futures), executors, and locks made through
``threading.Lock`` and ``RLock`` carry knowledge from thread to thread. Locks made before, and
``queue.SimpleQueue``, do not: see :meth:`StreamSanitizer.publish`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import thread as executors
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Protocol

from .clocks import Snapshot

__all__ = ["Watcher", "unwatch", "watch"]


class Watcher(Protocol):
    """A sanitizer, as far as threads are concerned."""

    def released(self) -> Snapshot:
        """What the calling thread knows and has done."""

    def acquired(self, snapshot: Snapshot) -> None:
        """The calling thread comes after this."""

    def in_thread(self) -> AbstractContextManager[object]:
        """Around the body of a thread."""


_Token = list[tuple["Watcher", Snapshot]]

_watchers: list[Watcher] = []
_originals: list[tuple[Any, str, Any]] = []
_tokens: weakref.WeakKeyDictionary[Any, _Token] = weakref.WeakKeyDictionary()
_guard = threading.Lock()


def watch(watcher: Watcher) -> None:
    """Tell ``watcher`` of the order between threads from now on."""
    with _guard:
        if not _watchers:
            _install()
        _watchers.append(watcher)


def unwatch(watcher: Watcher) -> None:
    """No longer."""
    with _guard:
        if watcher in _watchers:
            _watchers.remove(watcher)
            if not _watchers:
                while _originals:
                    owner, name, original = _originals.pop()
                    setattr(owner, name, original)
                _tokens.clear()


class _Busy(threading.local):
    """Set while a watcher is told: what it locks itself is no news."""

    now = False


_busy = _Busy()


def _token() -> _Token:
    if _busy.now:
        return []
    _busy.now = True
    try:
        return [(w, w.released()) for w in _watchers]
    finally:
        _busy.now = False


def _observe(token: _Token | None) -> None:
    if not token or _busy.now:
        return
    _busy.now = True
    try:
        for watcher, snapshot in token:
            if watcher in _watchers:
                watcher.acquired(snapshot)
    finally:
        _busy.now = False


def _release(key: Any) -> None:
    _tokens[key] = _token()


def _acquire(key: Any) -> None:
    _observe(_tokens.get(key))


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    original = getattr(owner, name)
    _originals.append((owner, name, original))
    setattr(owner, name, make(original))


def _install() -> None:
    thread, condition = threading.Thread, threading.Condition
    _replace(thread, "start", _start)
    _replace(thread, "join", _join)
    _replace(thread, "is_alive", _is_alive)
    _replace(condition, "__enter__", lambda f: _acquiring(f, lambda c: c._lock))
    _replace(condition, "__exit__", lambda f: _releasing(f, lambda c: c._lock))
    _replace(condition, "wait", _condition_wait)
    _replace(threading.Event, "is_set", _is_set)
    _replace(executors._WorkItem, "__init__", _item_init)
    _replace(executors._WorkItem, "run", _item_run)
    _replace(threading, "Lock", lambda f: lambda: _SeenLock(f()))
    _replace(threading, "RLock", lambda f: lambda: _SeenLock(f()))


def _start(original: Any) -> Any:
    def start(self: threading.Thread) -> None:
        token, run = _token(), self.run

        def body() -> None:
            _observe(token)
            with ExitStack() as scopes:
                for watcher in list(_watchers):
                    scopes.enter_context(watcher.in_thread())
                try:
                    run()
                finally:
                    _tokens[self] = _token()

        self.run = body  # type: ignore[method-assign]
        try:
            original(self)
        except BaseException:
            del self.run
            raise

    return start


def _join(original: Any) -> Any:
    def join(self: threading.Thread, timeout: float | None = None) -> None:
        original(self, timeout)
        if not self.is_alive():
            _observe(_tokens.get(self))

    return join


def _is_alive(original: Any) -> Any:
    def is_alive(self: threading.Thread) -> bool:
        alive: bool = original(self)
        if not alive:
            _observe(_tokens.get(self))
        return alive

    return is_alive


def _acquiring(original: Any, key: Callable[[Any], Any]) -> Any:
    def enter(self: Any) -> Any:
        result = original(self)
        _acquire(key(self))
        return result

    return enter


def _releasing(original: Any, key: Callable[[Any], Any]) -> Any:
    def leave(self: Any, *args: Any) -> Any:
        _release(key(self))
        return original(self, *args)

    return leave


def _condition_wait(original: Any) -> Any:
    def wait(self: threading.Condition, timeout: float | None = None) -> bool:
        _release(self._lock)  # type: ignore[attr-defined]
        notified: bool = original(self, timeout)
        _acquire(self._lock)  # type: ignore[attr-defined]
        return notified

    return wait


def _is_set(original: Any) -> Any:
    def is_set(self: threading.Event) -> bool:
        answer: bool = original(self)
        if answer:
            _acquire(self._cond._lock)  # type: ignore[attr-defined]
        return answer

    return is_set


def _item_init(original: Any) -> Any:
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        _release(self)

    return init


def _item_run(original: Any) -> Any:
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        _acquire(self)
        return original(self, *args, **kwargs)

    return run


class _SeenLock:
    """A lock that carries knowledge from who releases it to who acquires it."""

    def __init__(self, lock: Any) -> None:
        self._inner = lock

    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        got: bool = self._inner.acquire(*args, **kwargs)
        if got:
            _acquire(self)
        return got

    def release(self) -> None:
        _release(self)
        self._inner.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
