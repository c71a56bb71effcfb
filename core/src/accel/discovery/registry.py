"""Which backends there are, and which to use: get_backend, available_backends, explain.

Plugins are loaded at the first call and backends built at the first request for them; both are
kept. A warm :func:`get_backend` is one dictionary look-up.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..backend import Backend
from ..capabilities import Capability
from ..devices import DeviceSpec, current_index, parse_device
from ..errors import ArgumentError, CapabilityError, StateError
from ..torch_import import import_torch, known_failure
from ..warn_once import forget_warnings, warn_once
from .building import build
from .candidate import Candidate
from .explanation import Explanation, report
from .loading import Plugins, load_plugins, probe
from .selection import ENVIRONMENT, Choice, Request, Selector, usable

if TYPE_CHECKING:
    import torch

__all__ = ["available_backends", "explain", "get_backend", "reset"]

_Requirement = Capability | str
_KEYS = (tuple, frozenset)  # forms of `require` that do not change after the call

_lock = threading.RLock()
_plugins: Plugins | None = None
_loading = False
_leave_out: frozenset[str] = frozenset()
_backends: dict[tuple[str, DeviceSpec], Backend] = {}
_building: set[tuple[str, DeviceSpec]] = set()
#: Arguments and ACCEL_BACKEND, to the answer; where the answer follows torch's current device, to a
#: function that looks it up.
_warm: dict[object, Backend | Callable[[], Backend | None]] = {}


def get_backend(
    name: str | None = None,
    device: torch.device | str | None = None,
    require: Iterable[_Requirement] = (),
) -> Backend:
    """The backend to use; the same object for the same name and device.

    Args:
        name: a backend's name. Without it ``ACCEL_BACKEND`` decides (a name, or several in order of
            preference, separated by commas), and without that the highest priority among the
            backends whose probe says yes.
        device: a ``torch.device`` or a string as ``"cuda:1"``; its type also selects among
            backends. Without an index it is torch's current device of that type.
        require: capabilities that must not be UNSUPPORTED.

    Raises:
        BackendNotFoundError: no installed plugin provides it.
        BackendUnavailableError: its hardware or driver is not there.
        PluginError: its plugin is broken, or an automatic choice would fall back to the CPU while
            an accelerator's plugin is broken or its hardware unusable. The CPU is chosen by itself
            only where no accelerator is present.
        AmbiguousBackendError: two distributions claim the name.
        TorchImportError: ``import torch`` fails; names the distribution to blame.
        DeviceError: a bare integer, another backend's device, or an index out of range.
        CapabilityError: a required capability is not supported.
    """
    environment = os.environ.get(ENVIRONMENT, "")
    try:
        answer = _warm.get((name, device, require, environment))
    except TypeError:  # `require` is a list
        answer = None
    if isinstance(answer, Backend):
        return answer
    if answer is not None and (backend := answer()) is not None:
        return backend
    return _get_backend(name, device, require, environment)


def available_backends() -> tuple[str, ...]:
    """Names of the backends that can be built now, best first. Probes, builds nothing."""
    with _lock:
        plugins = _load()
        for candidate in plugins.candidates:
            if not candidate.overrides_only:
                probe(plugins.manager, candidate)
        return tuple(c.name for c in plugins.candidates if c.info is not None and usable(c))


def explain(
    name: str | None = None,
    device: torch.device | str | None = None,
    require: Iterable[_Requirement] = (),
) -> Explanation:
    """What :func:`get_backend` does for these arguments, and why; builds nothing.

    Lists every installed candidate with its distribution, state, reason and cure. Works where
    plugins, or torch itself, are broken.

    Raises:
        DeviceError: ``device`` is not a device.
        ArgumentError: an argument of the wrong type, or an unknown capability.
    """
    required = _required(require)
    request = _request(name, device, os.environ.get(ENVIRONMENT, ""))
    with _lock:
        plugins = _load()
        choice = _choose(plugins, request)
        for candidate in plugins.candidates:
            if not candidate.overrides_only:
                probe(plugins.manager, candidate)
        backend = _built(choice.chosen, request.device)
        if backend is not None and choice.error is None:
            try:
                _check_required(backend, required)
            except CapabilityError as error:
                choice.chosen, choice.error = None, error
        asked = {
            "name": request.name,
            "device": str(request.device) if request.device else None,
            "require": ", ".join(str(c) for c in required) or None,
            ENVIRONMENT: request.environment or None,
        }
        problems = [*plugins.problems, *filter(None, [known_failure()])]
        return report(asked, choice, plugins.candidates, problems, backend)


def reset(leave_out: Iterable[str] = ()) -> None:
    """Close every backend and forget every plugin; the next call discovers anew.

    For tests and diagnosis. Plugins of the distributions named in ``leave_out`` are then left out,
    not even imported: one of them may take the whole process down.
    """
    global _plugins, _leave_out
    with _lock:
        backends = list(_backends.values())
        _forget_backends()
        _plugins, _leave_out = None, frozenset(leave_out)
        forget_warnings()
    for backend in backends:
        atexit.unregister(backend.close)
        backend.close()


# --- behind get_backend -------------------------------------------------------------------------


def _get_backend(
    name: str | None, device: object, require: Iterable[_Requirement], environment: str
) -> Backend:
    key = (name, device, require, environment) if isinstance(require, _KEYS) else None
    required = _required(require)
    request = _request(name, device, environment)
    with _lock:
        plugins = _load()
        choice = _choose(plugins, request)
        if choice.error is not None:
            raise choice.error
        assert choice.chosen is not None
        for text in choice.warnings:
            warn_once(text)
        backend = _obtain(plugins, choice.chosen, request)
        _check_required(backend, required)
        if key is not None:
            _remember(key, request, backend)
        return backend


def _obtain(plugins: Plugins, candidate: Candidate, request: Request) -> Backend:
    assert candidate.info is not None
    spec = _resolve(candidate.info.device_type, request.device)
    key = (candidate.name, spec)
    if key in _backends:
        return _backends[key]
    if key in _building:
        raise StateError(
            f"backend {candidate.name!r} on {spec} was asked for while it is being built: its own"
            f" factories ({candidate.distribution}) must use the backend that they are given"
        )
    stay = ""
    if request.name is None and candidate.device_type != "cpu":
        stay = f"set {ENVIRONMENT}=cpu to run on the CPU"
    _building.add(key)
    try:
        backend = build(plugins, candidate, spec, stay)
    finally:
        _building.discard(key)
    _backends[key] = backend
    backend._on_close.append(lambda: _forget(backend))
    atexit.register(backend.close)
    return backend


def _resolve(device_type: str, wanted: DeviceSpec | None) -> DeviceSpec:
    """The one device meant: torch's CPU has no index, and no index is the current device."""
    if device_type == "cpu":
        return DeviceSpec("cpu")
    if wanted is not None and wanted.index is not None:
        return wanted
    return DeviceSpec(device_type, current_index(import_torch(), device_type))


def _remember(key: tuple[object, ...], request: Request, backend: Backend) -> None:
    device_type = backend.info.device_type
    if device_type == "cpu" or (request.device is not None and request.device.index is not None):
        _warm[key] = backend
        return
    torch, name = import_torch(), backend.name

    def follow() -> Backend | None:
        return _backends.get((name, DeviceSpec(device_type, current_index(torch, device_type))))

    _warm[key] = follow


def _load() -> Plugins:
    global _plugins, _loading
    if _plugins is None:
        if _loading:
            raise StateError("a plugin asked for a backend while plugins are being discovered")
        _loading = True
        try:
            _plugins = load_plugins(_leave_out)
        finally:
            _loading = False
    return _plugins


def _choose(plugins: Plugins, request: Request) -> Choice:
    selector = Selector(plugins.candidates, plugins.problems, lambda c: probe(plugins.manager, c))
    return selector.choose(request)


def _request(name: object, device: object, environment: str) -> Request:
    if name is not None and not isinstance(name, str):
        raise ArgumentError(
            "name", "a backend's name or None", repr(name), "a device goes into device="
        )
    return Request(name, parse_device(device), environment)


def _required(require: object) -> tuple[Capability, ...]:
    if isinstance(require, str) or not isinstance(require, Iterable):
        raise ArgumentError(
            "require", "several capabilities", repr(require), f"require=({require!r},)"
        )
    return tuple(Capability.parse(item) for item in require)


def _check_required(backend: Backend, required: tuple[Capability, ...]) -> None:
    for capability in required:
        if capability not in backend.capabilities:
            raise CapabilityError(capability, backend.name)


def _built(candidate: Candidate | None, device: DeviceSpec | None) -> Backend | None:
    for (name, spec), backend in _backends.items():
        any_index = device is None or device.index is None or spec.type == "cpu"
        if candidate is not None and name == candidate.name and (any_index or spec == device):
            return backend
    return None


def _forget(backend: Backend) -> None:
    """The next request for a closed backend builds a new one."""
    with _lock:
        for key in [k for k, b in _backends.items() if b is backend]:
            del _backends[key]
        for warm in [k for k, b in _warm.items() if b is backend]:
            del _warm[warm]
        atexit.unregister(backend.close)


def _forget_backends() -> None:
    _backends.clear()
    _warm.clear()


_abandoned: list[Backend] = []


def _after_fork_in_child() -> None:
    """A child has its parent's memory but not its threads: it builds its own backends.

    The parent's objects are neither closed nor destroyed here, which would wait for those threads.
    """
    global _lock, _loading
    _lock = threading.RLock()
    _loading = False
    _building.clear()
    _abandoned.extend(_backends.values())
    for backend in _abandoned:
        atexit.unregister(backend.close)
    _forget_backends()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
