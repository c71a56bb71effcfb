"""Every error that accel raises.

A caller's mistake is an :class:`ArgumentError`: it names the argument, what was expected, what was
given and, where there is one, the cure, and it is raised before anything is written. What the
environment lacks is a :class:`DiscoveryError` or a :class:`CapabilityError`. What goes wrong while
work runs is one of the rest. All of them derive from :class:`AccelError`, and from the built-in
exception a Python programmer would expect to catch.
"""

from __future__ import annotations

__all__ = [
    "AccelError",
    "AccelWarning",
    "AmbiguousBackendError",
    "ArgumentError",
    "AsyncError",
    "BackendNotFoundError",
    "BackendUnavailableError",
    "CapabilityError",
    "CodecError",
    "CollectiveError",
    "CollectiveTimeoutError",
    "DTypeError",
    "DeviceError",
    "DiscoveryError",
    "FreedError",
    "HookSpecVersionError",
    "LayoutError",
    "NotReadyError",
    "OutOfBlocksError",
    "OutOfMemoryError",
    "OverlapError",
    "PluginError",
    "ShapeError",
    "SizeError",
    "SlotError",
    "StateError",
    "StreamRaceError",
    "StreamRaceWarning",
    "TorchImportError",
]


class AccelError(Exception):
    """Base of all errors raised by accel and its plugins."""

    #: What to do about it, one sentence or command; empty when there is nothing to say.
    cure: str = ""


class AccelWarning(UserWarning):
    """A fallback or a degraded environment, said once."""


class StreamRaceWarning(AccelWarning):
    """The sanitizer found two accesses to the same bytes that nothing orders."""


# --- the environment ---------------------------------------------------------------------------


class DiscoveryError(AccelError, RuntimeError):
    """No backend could be chosen or built. ``str()`` gives the cause and the cure."""

    def __init__(self, message: str, cure: str = "") -> None:
        self.cure = cure
        super().__init__(f"{message} Cure: {cure}" if cure else message)


class BackendNotFoundError(DiscoveryError, LookupError):
    """No installed plugin provides the backend that was asked for."""


class BackendUnavailableError(DiscoveryError):
    """The plugin is installed and sound, but its hardware or driver is not there."""


class PluginError(DiscoveryError):
    """A plugin failed on import, in its probe or in a factory; ``__cause__`` says how."""


class HookSpecVersionError(PluginError):
    """A plugin was written for a hook specification that this core does not support."""


class AmbiguousBackendError(DiscoveryError):
    """Two installed plugins claim the same backend name."""


class TorchImportError(DiscoveryError, ImportError):
    """``import torch`` fails; the message says whether a vendor's autoload is to blame."""


class CapabilityError(AccelError, NotImplementedError):
    """The backend does not have the capability that a call needs."""

    def __init__(self, capability: str, backend: str, cure: str = "") -> None:
        self.capability = str(getattr(capability, "value", capability))
        self.backend = backend
        self.cure = cure or "choose a backend whose capabilities list it (see `accel list`)"
        super().__init__(
            f"backend {backend!r} does not support {self.capability!r}. Cure: {self.cure}"
        )

    def __reduce__(self) -> tuple[type[CapabilityError], tuple[str, str, str]]:
        return type(self), (self.capability, self.backend, self.cure)


# --- the caller's arguments --------------------------------------------------------------------


class ArgumentError(AccelError, ValueError):
    """An argument is wrong; nothing was written."""

    def __init__(self, argument: str, expected: object, given: object, cure: str = "") -> None:
        self.argument = argument
        self.expected = str(expected)
        self.given = str(given)
        self.cure = cure
        text = f"{argument}: expected {self.expected}, given {self.given}"
        super().__init__(f"{text}. Cure: {cure}" if cure else text)

    def __reduce__(self) -> tuple[type[ArgumentError], tuple[str, str, str, str]]:
        return type(self), (self.argument, self.expected, self.given, self.cure)


class ShapeError(ArgumentError):
    """Wrong number of dimensions or wrong extents."""


class SizeError(ArgumentError):
    """Wrong number of bytes or elements."""


class DTypeError(ArgumentError, TypeError):
    """Wrong element type, or an object of the wrong type."""


class DeviceError(ArgumentError):
    """Memory or a stream of another device, or of a kind that the call cannot touch."""


class LayoutError(ArgumentError):
    """A KV layout that cannot be parsed, or does not fit the tensors or the other cache."""


class SlotError(ArgumentError, IndexError):
    """A slot or block index outside its cache."""


class OverlapError(ArgumentError):
    """Source and destination share bytes, or a destination is written twice."""


class FreedError(ArgumentError):
    """Memory, a stream or an event that was already released."""


class CodecError(ArgumentError):
    """Encoded KV that is damaged, truncated or foreign, or a model that does not belong to it."""


# --- work in flight ----------------------------------------------------------------------------


class StateError(AccelError, RuntimeError):
    """The object's state does not allow the call (an event without timing, a closed group)."""


class NotReadyError(StateError):
    """The work asked about has not completed yet."""


class OutOfMemoryError(AccelError, MemoryError):
    """An allocation would exceed the pool's bound, or the operating system refused it."""


class OutOfBlocksError(OutOfMemoryError):
    """A KVPool has not as many free blocks as were asked for; nothing was taken."""

    def __init__(self, wanted: int, free: int, total: int, pending: int = 0) -> None:
        self.wanted = wanted
        self.free = free
        self.total = total
        self.pending = pending  #: of the rest, how many come back when an event completes
        self.cure = "release blocks, or make the pool from a larger budget"
        if pending:
            self.cure = f"wait for the work that {pending} released blocks wait for, {self.cure}"
        super().__init__(
            f"{wanted} blocks were asked for and {free} of {total} are free. Cure: {self.cure}"
        )

    def __reduce__(self) -> tuple[type[OutOfBlocksError], tuple[int, int, int, int]]:
        return type(self), (self.wanted, self.free, self.total, self.pending)


class AsyncError(AccelError, RuntimeError):
    """Work that ran on a stream failed; raised by the next synchronisation with that stream."""


class StreamRaceError(AccelError, RuntimeError):
    """As :class:`StreamRaceWarning`, where the sanitizer was asked to raise.

    ``race`` is the report; the call itself has been made.
    """

    def __init__(self, race: object) -> None:
        self.race = race
        self.cure = str(getattr(race, "fix", ""))
        super().__init__(str(race))


class CollectiveError(AccelError, RuntimeError):
    """A collective or point-to-point operation failed; the communicator is closed."""


class CollectiveTimeoutError(CollectiveError, TimeoutError):
    """An operation did not complete in time; names the rank and the operation."""
