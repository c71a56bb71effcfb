"""Replacing the methods of a built backend by ones that do more, and putting them back.

The providers stay the plugin's own objects, and so do streams, events and buffers: nothing is
wrapped, so that ``isinstance``, identity and native code see what they always saw. A provider gets
instance attributes in front of its methods; streams, events, buffers and communicators, of which a
program may hold any number already, get theirs on their classes. Without a layer, every one of
these is what the plugin made it: a call costs what it always cost.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any, Protocol

from ..backend import AREAS
from ..capabilities import Capability
from ..errors import StateError
from .members import MADE_BY, OBJECT_MEMBERS, provider_members

if TYPE_CHECKING:
    from ..backend import Backend

__all__ = ["Interposition", "Layer"]

Method = Callable[..., Any]

_ABSENT = object()
_lock = threading.RLock()


class Layer(Protocol):
    """Something that wants to stand in front of calls."""

    def provider_method(self, area: str, name: str, inner: Method) -> Method | None:
        """What replaces ``backend.<area>.<name>``; None leaves it. ``inner`` is called to go on."""

    def object_method(self, kind: str, name: str, inner: Method) -> Method | None:
        """What replaces a method of a stream, event, buffer or communicator (``self`` first)."""


class Interposition:
    """The layers in front of one backend; the first added is the innermost."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._layers: list[Layer] = []
        self._saved: dict[tuple[str, str], tuple[object, Method]] = {}
        self._classes: dict[type, _Class] = {}

    @classmethod
    def of(cls, backend: Backend) -> Interposition:
        """The one of this backend, made when there is none yet."""
        with _lock:
            found: Interposition | None = backend.__dict__.get("_interposition")
            if found is None:
                found = backend.__dict__["_interposition"] = cls(backend)
                backend._on_close.append(found.clear)
            return found

    def add(self, layer: Layer) -> None:
        """Put ``layer`` in front of those that are there.

        Raises:
            StateError: the plugin's streams or events are of a class whose methods are fixed.
        """
        with _lock:
            self._layers.append(layer)
            try:
                self._apply()
            except BaseException:
                self._layers.remove(layer)
                self._apply()
                raise

    def remove(self, layer: Layer) -> None:
        """Take ``layer`` away; nothing if it is not there."""
        with _lock:
            if layer in self._layers:
                self._layers.remove(layer)
                self._apply()

    def clear(self) -> None:
        """Take all layers away."""
        with _lock:
            self._layers.clear()
            self._apply()

    def original(self, area: str, name: str) -> Method:
        """``backend.<area>.<name>`` as the plugin made it."""
        saved = self._saved.get((area, name))
        return saved[1] if saved else getattr(getattr(self.backend, area), name)

    def original_of(self, value: Any, name: str) -> Method:
        """A method of a stream, event, buffer or communicator as the plugin made it, bound."""
        found = _patched.get(type(value))
        if found is None or name not in found.methods:
            return getattr(value, name)  # type: ignore[no-any-return]
        return MethodType(found.methods[name], value)

    def adopt(self, kind: str, value: Any) -> Any:
        """``value``, an object of this kind: its class is looked at when it is a new one."""
        if type(value) not in self._classes and self._layers and value is not None:
            with _lock:
                self._patch(kind, type(value))
        return value

    def _apply(self) -> None:
        if not self._layers:
            self._restore()
            return
        if not self._saved:
            self._save()
        for (area, name), (_, original) in self._saved.items():
            method = original
            kind = MADE_BY.get((area, name))
            if kind is not None:
                method = self._adopting(kind, method)
            for layer in self._layers:
                method = layer.provider_method(area, name, method) or method
            if method is not original:
                setattr(getattr(self.backend, area), name, method)
        for cls, patched in self._classes.items():
            patched.users[self] = self._chain(patched)
            _install(cls, patched)
        self._look_at_objects()

    def _save(self) -> None:
        for area, _ in AREAS:
            provider = getattr(self.backend, area)
            for name in provider_members(provider):
                own = vars(provider).get(name, _ABSENT)
                self._saved[area, name] = own, getattr(provider, name)

    def _restore(self) -> None:
        for (area, name), (own, _) in self._saved.items():
            provider = getattr(self.backend, area)
            if own is not _ABSENT:
                setattr(provider, name, own)
            elif name in vars(provider):
                delattr(provider, name)
        self._saved.clear()
        for cls, patched in self._classes.items():
            patched.users.pop(self, None)
            _install(cls, patched)
        self._classes.clear()

    def _look_at_objects(self) -> None:
        """Streams and events may exist already: find their classes."""
        capabilities = self.backend.capabilities
        if Capability.STREAMS in capabilities:
            self.adopt("stream", self.original("streams", "default")())
            self.adopt("stream", self.original("streams", "current")())
        if Capability.EVENTS in capabilities:
            self.adopt("event", self.original("events", "create")())

    def _adopting(self, kind: str, make: Method) -> Method:
        known = self._classes

        def made(*args: Any, **kwargs: Any) -> Any:
            value = make(*args, **kwargs)
            return value if type(value) in known else self.adopt(kind, value)

        return made

    def _patch(self, kind: str, cls: type) -> None:
        patched = _patched.get(cls)
        if patched is None:
            patched = _patched[cls] = _Class(kind, cls)
        patched.users[self] = self._chain(patched)
        _install(cls, patched)
        self._classes[cls] = patched

    def _chain(self, patched: _Class) -> dict[str, Method]:
        chain = {}
        for name, original in patched.methods.items():
            method = original
            for layer in self._layers:
                method = layer.object_method(patched.kind, name, method) or method
            if method is not original:
                chain[name] = method
        return chain


class _Class:
    """A class of streams, events, buffers or communicators, and who stands in front of it."""

    def __init__(self, kind: str, cls: type) -> None:
        self.kind = kind
        names = [n for n in OBJECT_MEMBERS[kind] if callable(getattr(cls, n, None))]
        self.methods: dict[str, Method] = {n: getattr(cls, n) for n in names}
        self.own = {n: vars(cls).get(n, _ABSENT) for n in names}
        #: What each backend's layers made of the methods.
        self.users: dict[Interposition, dict[str, Method]] = {}


_patched: dict[type, _Class] = {}


def _install(cls: type, patched: _Class) -> None:
    """Give the class the methods that its users ask for, or its own ones back."""
    for name, original in patched.methods.items():
        wanted = [(user, chain[name]) for user, chain in patched.users.items() if name in chain]
        if not wanted:
            own = patched.own[name]
            if own is not _ABSENT:
                _set(cls, name, own)
            elif name in vars(cls):
                delattr(cls, name)
        elif len(wanted) == 1 and len(patched.users) == 1:
            _set(cls, name, wanted[0][1])
        else:
            _set(cls, name, _by_device(wanted, original))
    if not patched.users:
        _patched.pop(cls, None)


def _by_device(wanted: list[tuple[Interposition, Method]], original: Method) -> Method:
    """Two backends share the class: the object's device tells whose it is."""
    by_device = {user.backend.device: method for user, method in wanted}

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return by_device.get(self.device, original)(self, *args, **kwargs)

    return method


def _set(cls: type, name: str, value: Any) -> None:
    try:
        setattr(cls, name, value)
    except (TypeError, AttributeError) as error:
        raise StateError(
            f"the methods of {cls.__module__}.{cls.__qualname__} cannot be replaced ({error}), so"
            " ACCEL_BLOCKING and the sanitizer cannot see its calls. Cure: the plugin's streams,"
            " events and buffers must be of Python classes or of heap types (pybind11, nanobind)"
        ) from error


def _after_fork_in_child() -> None:
    # The child builds its own backends; the parent's must not answer for their objects.
    global _lock
    _lock = threading.RLock()
    for cls, patched in list(_patched.items()):
        patched.users.clear()
        _install(cls, patched)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
