"""Load and probe plugins, each guarded: whatever one of them does, the others stay usable."""

from __future__ import annotations

import re
import sys
from typing import Any

import pluggy

from .. import hookspecs
from ..backend_info import BackendInfo, Probe
from ..distributions import FoundEntryPoint, entry_points_of
from ..errors import HookSpecVersionError
from ..hookspecs import (
    ENTRY_POINT_GROUP,
    HOOKSPEC_VERSION,
    OLDEST_HOOKSPEC_VERSION,
    PROJECT,
)
from .candidate import Candidate, Fault, cure_of

__all__ = ["GUARDED", "Plugins", "load_plugins", "probe"]

#: What a plugin may raise without taking anything else down. A plugin that calls ``sys.exit`` is
#: broken too; KeyboardInterrupt is the user's.
GUARDED = (Exception, SystemExit)

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*\Z")


class Plugins:
    """All candidates, sorted best first, and the sound ones registered with pluggy."""

    def __init__(self) -> None:
        self.candidates: list[Candidate] = []
        self.problems: list[str] = []
        self.manager = _manager()

    def named(self, name: str) -> list[Candidate]:
        """The candidates that claim ``name``, or would by their entry point."""
        return [c for c in self.candidates if c.name == name and not c.overrides_only]

    @property
    def kernel_packs(self) -> list[Candidate]:
        """The sound plugins that only override areas of others."""
        return [c for c in self.candidates if c.is_kernel_pack]


def load_plugins(leave_out: frozenset[str] = frozenset()) -> Plugins:
    """Import every plugin of this environment, ask who it is, and register the sound ones.

    Those of the distributions in ``leave_out`` are not even imported.
    """
    plugins = Plugins()
    found, plugins.problems = entry_points_of(ENTRY_POINT_GROUP)
    loaded = [_load(p) for p in found if p.distribution.name not in leave_out]
    plugins.candidates = [c for c in loaded if c.fault is not None or _is_listed(c)]
    _find_rivals(plugins.candidates)
    plugins.candidates.sort(key=lambda c: c.rank)
    # Kernel packs last: pluggy asks the last registered first, so they override by default.
    for candidate in sorted(plugins.candidates, key=lambda c: c.is_kernel_pack):
        if candidate.fault is None and not candidate.rivals:
            _register(plugins.manager, candidate)
    return plugins


def probe(manager: pluggy.PluginManager, candidate: Candidate) -> Probe | None:
    """What the plugin's probe says, asked once; None when it is broken (``candidate.fault``)."""
    if candidate.probe is not None or candidate.fault is not None:
        return candidate.probe
    upgrade = _upgrade(candidate)
    caller = only(manager, "accel_probe", candidate) if not candidate.rivals else None
    if caller is None:
        # Rivals are not registered together; each is asked through a manager of its own.
        caller = _registered(candidate).hook.accel_probe
    try:
        answers = caller()
    except GUARDED as error:
        text = f"{candidate.label} raised in accel_probe: {_said(error)}."
        candidate.fault = Fault("accel_probe", text, cure_of(error, upgrade), error)
        return None
    if len(answers) == 1 and isinstance(answers[0], Probe):
        candidate.probe = answers[0]
        return candidate.probe
    given = repr(answers[0]) if answers else "nothing: the hook is not implemented"
    text = f"{candidate.label}: accel_probe must return one accel.Probe, but gave {given}."
    candidate.fault = Fault("accel_probe", text, upgrade)
    return None


def only(manager: pluggy.PluginManager, hook: str, candidate: Candidate) -> pluggy.HookCaller:
    """``hook`` as that one plugin implements it; pluggy passes only the arguments it takes."""
    others = [p for p in manager.get_plugins() if p is not candidate.plugin]
    return manager.subset_hook_caller(hook, others)


def _load(point: FoundEntryPoint) -> Candidate:
    candidate = Candidate(point.name, point.value, point.distribution)
    had_torch = "torch" in sys.modules
    try:
        candidate.plugin = point.load()
    except GUARDED as error:
        candidate.fault = _import_fault(candidate, error)
        return candidate
    if not had_torch and "torch" in sys.modules:
        candidate.notes.append("imports torch when it is discovered; only its factories should")
    candidate.fault = _ask_info(candidate) or _check_version(candidate) or _check_hooks(candidate)
    candidate.overrides_only = candidate.info is None and candidate.fault is None
    return candidate


def _is_listed(candidate: Candidate) -> bool:
    """False where the plugin says that there is nothing here that it would be for."""
    try:
        return all(only(_registered(candidate), "accel_listed", candidate)())
    except GUARDED as error:
        text = f"{candidate.label} raised in accel_listed: {_said(error)}."
        candidate.fault = Fault("accel_listed", text, cure_of(error, _upgrade(candidate)), error)
        return True


def _registered(candidate: Candidate) -> pluggy.PluginManager:
    own = _manager()
    own.register(candidate.plugin)
    return own


def _import_fault(candidate: Candidate, error: BaseException) -> Fault:
    dist = candidate.distribution
    module = candidate.value.partition(":")[0].strip()
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and (module == missing or module.startswith(missing + ".")):
        return Fault(
            "import",
            f"{candidate.label} is half uninstalled: its entry point names {candidate.value!r},"
            f" but there is no module {missing!r}.",
            dist.reinstall,
            error,
        )
    if missing:
        text = f"{candidate.label} needs the module {missing!r}, which is not installed."
        cure = f"`pip install --upgrade {dist.name}` (with its dependencies); {_remove(candidate)}"
        return Fault("import", text, cure, error)
    text = f"{candidate.label} raised while it was imported: {_said(error)}."
    return Fault("import", text, cure_of(error, f"{dist.reinstall}"), error)


def _ask_info(candidate: Candidate) -> Fault | None:
    manager = _OneHook("accel_backend_info")
    try:
        manager.register(candidate.plugin)
        answers = manager.hook.accel_backend_info()
    except GUARDED as error:
        text = f"{candidate.label} raised in accel_backend_info: {_said(error)}."
        return Fault("accel_backend_info", text, cure_of(error, _upgrade(candidate)), error)
    if not answers:  # not implemented, or None (which pluggy leaves out): a kernel pack
        return None
    info = answers[0]
    if len(answers) > 1 or not isinstance(info, BackendInfo):
        given = repr(info) if len(answers) == 1 else f"{len(answers)} answers"
        text = (
            f"{candidate.label}: accel_backend_info must return one accel.BackendInfo or None,"
            f" but gave {given}."
        )
        return Fault("accel_backend_info", text, _upgrade(candidate))
    wrong = _wrong_field(info)
    if wrong:
        text = f"{candidate.label}: accel_backend_info returned {info!r}, where {wrong}."
        return Fault("accel_backend_info", text, _upgrade(candidate))
    candidate.info = info
    return None


def _wrong_field(info: BackendInfo) -> str:
    for name in ("name", "device_type"):
        value = getattr(info, name)
        if not (isinstance(value, str) and _NAME.match(value)):
            return f"{name} must be a lower-case word"
    for name in ("hookspec_version", "priority"):
        if not isinstance(getattr(info, name), int):
            return f"{name} must be an int"
    return ""


def _check_version(candidate: Candidate) -> Fault | None:
    if candidate.info is None:
        return None
    version = candidate.info.hookspec_version
    if OLDEST_HOOKSPEC_VERSION <= version <= HOOKSPEC_VERSION:
        return None
    newer = version > HOOKSPEC_VERSION
    return Fault(
        "version",
        f"{candidate.label} was written for hook-spec version {version}, but this accel-core"
        f" supports {OLDEST_HOOKSPEC_VERSION} to {HOOKSPEC_VERSION}.",
        "`pip install --upgrade accel-core`" if newer else _upgrade(candidate),
        error_type=HookSpecVersionError,
    )


def _check_hooks(candidate: Candidate) -> Fault | None:
    manager = _manager()
    try:
        hash(candidate.plugin)  # pluggy keeps plugins in sets
        manager.register(candidate.plugin)
        manager.check_pending()
    except GUARDED as error:
        text = f"{candidate.label} does not fit the hook specification: {_said(error)}."
        return Fault("hooks", text, _upgrade(candidate), error)
    callers = manager.get_hookcallers(candidate.plugin) or []
    if not callers:
        text = f"{candidate.label}: {candidate.value} has no function marked with accel.hookimpl."
        return Fault("hooks", text, _upgrade(candidate))
    for caller in callers:
        if any(impl.wrapper or impl.hookwrapper for impl in caller.get_hookimpls()):
            text = f"{candidate.label}: {caller.name} is a wrapper, which accel does not call."
            return Fault("hooks", text, "return a provider from a hook marked tryfirst=True")
    return None


def _register(manager: pluggy.PluginManager, candidate: Candidate) -> None:
    try:
        manager.register(candidate.plugin)
    except ValueError as error:  # two entry points that name the same module
        text = f"{candidate.label}: another entry point already names {candidate.value!r}."
        candidate.fault = Fault("hooks", text, _upgrade(candidate), error)


def _find_rivals(candidates: list[Candidate]) -> None:
    for candidate in candidates:
        candidate.rivals = [
            other
            for other in candidates
            if other is not candidate
            and candidate.info is not None
            and other.info is not None
            and other.info.name == candidate.info.name
        ]


class _OneHook(pluggy.PluginManager):
    """Sees one hook of a plugin, so that its version is known before the others are validated."""

    def __init__(self, hook: str) -> None:
        super().__init__(PROJECT)
        self._only = hook
        self.add_hookspecs(hookspecs)

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        options = super().parse_hookimpl_opts(plugin, name)
        wanted = options is not None and (options.get("specname") or name) == self._only
        return options if wanted else None


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def _said(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _upgrade(candidate: Candidate) -> str:
    return f"`pip install --upgrade {candidate.distribution.name}`, or {_remove(candidate)}"


def _remove(candidate: Candidate) -> str:
    return f"`pip uninstall {candidate.distribution.name}`"
