"""Which candidate a request means, and why not the others. Builds nothing, warns nobody.

The order is: the name in the call, then ``ACCEL_BACKEND``, then priority. There is no silent
fallback: where hardware is present and its plugin cannot be used, or a plugin is broken and only
the CPU would be left, the answer is an error with the cause and the cure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..backend_info import Probe
from ..devices import DeviceSpec
from ..errors import (
    AccelError,
    AmbiguousBackendError,
    BackendNotFoundError,
    BackendUnavailableError,
    DeviceError,
    PluginError,
)
from .candidate import Candidate, Status

__all__ = ["Choice", "Request", "Selector"]

ENVIRONMENT = "ACCEL_BACKEND"
INSTALL_CPU = "`pip install accel-cpu`"


@dataclass(frozen=True)
class Request:
    """What a caller asked for; ``environment`` is the value of ACCEL_BACKEND, empty when unset."""

    name: str | None = None
    device: DeviceSpec | None = None
    environment: str = ""

    @property
    def preferred(self) -> list[str]:
        """The names in ``environment``, in order."""
        return [n.strip() for n in self.environment.split(",") if n.strip()]


@dataclass
class Choice:
    """The answer to a request: a candidate or an error, never both."""

    chosen: Candidate | None = None
    error: AccelError | None = None
    because: str = ""
    #: Things to tell the user once if the choice is acted upon.
    warnings: list[str] = field(default_factory=list)
    #: Why a candidate was not taken.
    why_not: dict[Candidate, str] = field(default_factory=dict)


class Selector:
    """Chooses among ``candidates`` (sorted best first); ``ask`` runs a probe, once for each."""

    def __init__(
        self,
        candidates: list[Candidate],
        problems: list[str],
        ask: Callable[[Candidate], Probe | None],
    ) -> None:
        self._candidates = [c for c in candidates if not c.overrides_only]
        self._problems = problems
        self._ask = ask

    def choose(self, request: Request) -> Choice:
        """The candidate that ``request`` means."""
        choice = Choice()
        try:
            if request.name is not None:
                choice.chosen = self._by_name(request.name, request.device)
                choice.because = f"get_backend was asked for {request.name!r}"
            elif not self._from_environment(request, choice):
                self._by_priority(request, choice)
            if choice.chosen is not None:
                _check_index(choice.chosen, request.device)
        except AccelError as error:
            choice.chosen, choice.error = None, error
        return choice

    # --- a name ---------------------------------------------------------------------------------

    def _by_name(self, name: str, device: DeviceSpec | None) -> Candidate:
        candidate = self._unique(name)
        if device is not None and candidate.device_type not in (None, device.type):
            raise DeviceError(
                "device",
                f"a {candidate.device_type} device, which backend {name!r} drives",
                str(device),
                f"leave out one of the two, or get_backend(device={str(device)!r})",
            )
        if candidate.fault is None:
            self._ask(candidate)
        if candidate.fault is not None:
            raise candidate.fault.error()
        probe = candidate.probe
        if probe is not None and not probe.available:
            raise BackendUnavailableError(
                f"backend {name!r} ({candidate.distribution}) cannot be used here: {probe.reason}",
                probe.cure,
            )
        return candidate

    def _unique(self, name: str) -> Candidate:
        claims = [c for c in self._candidates if c.name == name]
        rivals = [c for c in claims if c.rivals]
        if rivals:
            raise _ambiguous(rivals)
        if not claims:
            raise self._not_found(f"no installed plugin provides the backend {name!r}.", name)
        # A plugin that could not be loaded claims a name by its entry point only; a sound one wins.
        return min(claims, key=lambda c: c.fault is not None)

    def _not_found(self, message: str, name: str = "") -> BackendNotFoundError:
        if not self._candidates:
            message += " No plugin is installed at all."
        else:
            known = ", ".join(f"{c.name} ({c.distribution}, {c.status})" for c in self._candidates)
            message += f" Installed: {known}."
        message += "".join(f" Note: {problem}." for problem in self._problems)
        cure = INSTALL_CPU
        if name and name != "cpu" and self._candidates:
            cure = f"install the plugin that provides {name!r}, or choose an installed one"
        return BackendNotFoundError(message, cure)

    # --- ACCEL_BACKEND ---------------------------------------------------------------------------

    def _from_environment(self, request: Request, choice: Choice) -> bool:
        """True when the list decided, for good or with an error."""
        names = request.preferred
        skipped: list[str] = []
        errors: list[AccelError] = []
        for name in names:
            claims = [c for c in self._candidates if c.name == name]
            wanted = request.device
            if wanted and claims and all(c.device_type not in (None, wanted.type) for c in claims):
                for claim in claims:
                    choice.why_not[claim] = f"drives {claim.device_type}, not {wanted.type}"
                continue  # the call's own device goes before the environment's list
            try:
                candidate = self._by_name(name, request.device)
            except AccelError as error:
                skipped.append(f"{name}: {error}")
                errors.append(error)
                choice.why_not.update(dict.fromkeys(claims, str(error)))
                continue
            choice.chosen = candidate
            choice.because = f"{ENVIRONMENT}={request.environment}"
            if skipped:
                choice.warnings.append(
                    f"{ENVIRONMENT}={request.environment}: {name!r} is used, because "
                    + "; ".join(skipped)
                )
            return True
        if len(errors) == 1:
            raise _prefixed(errors[0], f"{ENVIRONMENT}={request.environment} asks for it: ")
        if errors:
            raise BackendNotFoundError(
                f"{ENVIRONMENT}={request.environment} names no usable backend."
                + "".join(f" {s}" for s in skipped),
                f"correct or unset {ENVIRONMENT}",
            )
        return False

    # --- priority --------------------------------------------------------------------------------

    def _by_priority(self, request: Request, choice: Choice) -> None:
        pool = self._pool(request, choice)
        best: Candidate | None = None
        # Hardware is there, or may be, and the plugin that comes before `best` cannot serve it.
        blockers: list[Candidate] = []
        for candidate in pool:
            if candidate.fault is None:
                self._ask(candidate)
            probe = candidate.probe
            if probe is not None and probe.available:
                best = candidate
                break
            if probe is None or probe.hardware_present:
                blockers.append(candidate)
            else:
                choice.why_not[candidate] = probe.reason
        if best is not None and best.rivals:
            raise _ambiguous([best, *best.rivals])
        self._refuse_fallback(best, blockers, request, choice)
        if best is None:
            raise self._nothing(pool, request)
        choice.chosen = best
        wanted = f" for {request.device.type}" if request.device else ""
        choice.because = f"highest priority{wanted} among the backends whose probe says yes"
        assert best.info is not None
        for other in pool:
            if other is not best and other not in choice.why_not:
                why = other.fault.message if other.fault else f"{best.name!r} comes before it"
                choice.why_not[other] = why

    def _pool(self, request: Request, choice: Choice) -> list[Candidate]:
        """What may be chosen, best first; plugins of unknown device type stand in front."""
        pool: list[Candidate] = []
        for candidate in self._candidates:
            if request.device and candidate.device_type not in (None, request.device.type):
                text = f"drives {candidate.device_type}, not {request.device.type}"
            elif not candidate.automatic:
                text = "its priority is negative: taken only when named"
            else:
                pool.append(candidate)
                continue
            choice.why_not[candidate] = text
        return sorted(pool, key=lambda c: (c.info is not None, c.rank))

    def _refuse_fallback(
        self,
        best: Candidate | None,
        blockers: list[Candidate],
        request: Request,
        choice: Choice,
    ) -> None:
        stay = f"set {ENVIRONMENT}=cpu to run on the CPU" if request.device is None else ""
        for blocker in blockers:
            if blocker.probe is not None:  # (it says: hardware present, not available)
                raise PluginError(
                    f"hardware of backend {blocker.name!r} ({blocker.distribution}) is present but"
                    f" cannot be used: {blocker.probe.reason}",
                    _either(blocker.probe.cure, stay),
                )
            assert blocker.fault is not None
            choice.why_not[blocker] = blocker.fault.message
            if blocker.info is None and request.device is not None:
                # It may not be of the requested type at all; said when nothing else is found.
                continue
            if best is None:
                continue  # the caller raises
            if best.device_type == "cpu" and blocker.device_type != "cpu":
                raise _with_context(
                    blocker,
                    "Its hardware may be present, so the CPU is not chosen by itself.",
                    stay,
                )
            choice.warnings.append(
                f"{blocker.fault.message} {best.name!r} is used. Cure: {blocker.fault.cure}"
            )

    def _nothing(self, pool: list[Candidate], request: Request) -> AccelError:
        broken = [c for c in pool if c.fault is not None]
        if broken and broken[0].fault is not None:
            return broken[0].fault.error()
        named_only = [
            c
            for c in self._candidates
            if not c.automatic and (not request.device or c.device_type == request.device.type)
        ]
        if not pool and named_only:
            names = " or ".join(f"get_backend({c.name!r})" for c in named_only)
            of_type = f" for {request.device.type!r}" if request.device else ""
            return BackendNotFoundError(
                f"the only backends installed{of_type} have a negative priority: they are never"
                f" chosen by themselves.",
                f"{INSTALL_CPU}, or {names}",
            )
        if not pool:
            of_type = f" drives {request.device.type!r}." if request.device else " can be chosen."
            return self._not_found(f"no installed plugin{of_type}")
        said = " ".join(
            f"{c.name} ({c.distribution}): {c.probe.reason}" for c in pool if c.probe is not None
        )
        cures = [c.probe.cure for c in pool if c.probe is not None and c.probe.cure]
        cpu_missing = request.device is None and all(c.device_type != "cpu" for c in pool)
        cure = _either(*cures, f"{INSTALL_CPU} to run on the CPU" if cpu_missing else "")
        return BackendUnavailableError(f"no installed backend can be used here. {said}", cure)


def usable(candidate: Candidate) -> bool:
    """Sound, unrivalled, probed available, and not known to fail when built."""
    return candidate.status is Status.USABLE


def _check_index(candidate: Candidate, device: DeviceSpec | None) -> None:
    if device is None or device.index is None or candidate.probe is None:
        return
    count = max(candidate.probe.device_count, 1)
    if device.index >= count:
        highest = f"{device.type}:{count - 1}"
        raise DeviceError(
            "device",
            f"an index below {count}, the number of {device.type} devices that"
            f" {candidate.name!r} sees",
            str(device),
            f"use {highest} or lower, or make more devices visible",
        )


def _ambiguous(rivals: list[Candidate]) -> AmbiguousBackendError:
    claims = " and ".join(f"{c.distribution} ({c.value})" for c in rivals)
    names = [c.distribution.name for c in rivals]
    commands = " or ".join(f"`pip uninstall {name}`" for name in dict.fromkeys(names))
    return AmbiguousBackendError(
        f"the backend name {rivals[0].name!r} is claimed by {claims}; neither is chosen.", commands
    )


def _with_context(blocker: Candidate, context: str, extra_cure: str) -> PluginError:
    assert blocker.fault is not None
    error = blocker.fault.error_type(
        f"{blocker.fault.message} {context}", _either(blocker.fault.cure, extra_cure)
    )
    error.__cause__ = blocker.fault.cause
    return error


def _prefixed(error: AccelError, text: str) -> AccelError:
    """The same error saying first where the request came from."""
    error.args = (text + str(error), *error.args[1:])
    return error


def _either(*cures: str) -> str:
    return "; or ".join(c for c in cures if c)
