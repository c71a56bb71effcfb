"""The registry of channels: which transport serves which device type, and whether it can, here.

A channel is keyed by (device type, name): vendors reuse each other's names, so ``nccl`` on ``cuda``
and ``nccl`` on another device type are two entries. A plugin registers its own when its
``accel_collectives`` factory runs; core registers gloo, which serves every device type, those
other than the CPU through pinned host memory. Nothing here imports torch before it is asked.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import AccelWarning, ArgumentError, CapabilityError

__all__ = [
    "ANY_DEVICE",
    "CHANNEL_ORDER",
    "Channel",
    "channels_for",
    "find_channel",
    "register_channel",
    "select_channel",
    "unregister_channel",
    "usable_channels",
]

#: Best first. A name that is not listed stands before gloo, in the order of registration.
CHANNEL_ORDER = ("hccl", "cncl", "nccl", "nixl", "gloo")

#: As a device type: every type.
ANY_DEVICE = "*"

#: Names of the order that core knows of but nobody provides, and why.
_NOT_PROVIDED = {
    "nixl": "no installed plugin registers one, and core has none of its own",
    "hccl": "the plugin for npu devices registers it",
    "cncl": "the plugin for mlu devices registers it",
    "nccl": "the plugin for cuda devices registers it",
}


def _always_usable() -> str:
    return ""


def _no_group_options(timeout: float) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class Channel:
    """One transport for one device type.

    Attributes:
        name: ``nccl``, ``hccl``, ``cncl``, ``nixl``, ``gloo`` or a plugin's own.
        device_type: the torch device type that it serves, or :data:`ANY_DEVICE`.
        torch_backend: the name under which torch.distributed knows it; ``name`` if empty.
        staged: tensors that are not on the CPU pass through pinned host memory, and collectives
            are composed from messages. Otherwise the channel takes device tensors itself, in
            stream order.
        unusable: called to find out whether the channel can be used here; returns why not, or ""
            when it can. Must not raise; may import the vendor's stack.
        group_options: keyword arguments for ``torch.distributed.new_group`` (``pg_options``, ...)
            given the communicator's timeout in seconds. Where the library ends the process when
            its own ``timeout`` passes, as nccl's watchdog does, give one that is longer: accel's
            then passes first, and raises.
        averages: the transport itself reduces with avg; otherwise the sum is divided.
        tags: the transport matches messages by their tags; otherwise by their order alone, and a
            tag other than 0 is refused but within a batch, whose legs are put in order.
        repeats: a batch of the transport may have several messages one way with the same peer;
            otherwise such a batch becomes several.
        gathers: the transport has a gather of its own; otherwise it is an all_gather of which the
            other ranks keep nothing.
        widened: pairs of dtype and op, as ``("bfloat16", "prod")``, that the transport does not
            reduce: they travel as float32.
        on_host: dtypes, as ``"float64"``, that the transport moves as bytes only: their
            contributions are gathered and reduced on the host, which waits for them.
    """

    name: str
    device_type: str
    torch_backend: str = ""
    staged: bool = False
    unusable: Callable[[], str] = _always_usable
    group_options: Callable[[float], Mapping[str, Any]] = _no_group_options
    averages: bool = False
    tags: bool = True
    repeats: bool = True
    gathers: bool = True
    widened: tuple[tuple[str, str], ...] = ()
    on_host: tuple[str, ...] = ()
    summary: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for argument in ("name", "device_type"):
            value = getattr(self, argument)
            if not isinstance(value, str) or not value:
                raise ArgumentError(argument, "a name", repr(value))
        if not self.torch_backend:
            object.__setattr__(self, "torch_backend", self.name)

    def why_unusable(self) -> str:
        """Why this channel cannot be used here, "" when it can; a raising check is a reason."""
        try:
            return self.unusable()
        except Exception as error:
            return f"its check raised {type(error).__name__}: {error}"


_lock = threading.Lock()
_channels: dict[tuple[str, str], Channel] = {}
_warned: set[tuple[str, str, str]] = set()


def register_channel(channel: Channel, *, replace: bool = False) -> None:
    """Make ``channel`` available to communicators of its device type.

    Registering an equal channel again changes nothing, so a factory may do it on every build.

    Raises:
        ArgumentError: another channel has this device type and name, and ``replace`` is false.
    """
    if not isinstance(channel, Channel):
        raise ArgumentError("channel", "an accel.collectives.Channel", type(channel).__name__)
    key = (channel.device_type, channel.name)
    with _lock:
        present = _channels.get(key)
        if present is not None and present != channel and not replace:
            raise ArgumentError(
                "channel",
                f"a name that is free for device type {channel.device_type!r}",
                f"{channel.name!r}, already registered",
                "pass replace=True to put this one in its place",
            )
        _channels[key] = channel


def unregister_channel(device_type: str, name: str) -> None:
    """Undo :func:`register_channel`; ArgumentError when there is no such channel."""
    with _lock:
        if _channels.pop((device_type, name), None) is None:
            known = ", ".join(f"{t}/{n}" for t, n in sorted(_channels)) or "none"
            raise ArgumentError("name", f"a registered channel: {known}", f"{device_type}/{name}")


def _rank_of(channel: Channel) -> int:
    order = CHANNEL_ORDER
    return order.index(channel.name) if channel.name in order else order.index("gloo") - 1


def channels_for(device_type: str) -> tuple[Channel, ...]:
    """Channels that serve ``device_type``, best first, usable or not."""
    with _lock:
        found = {c.name: c for c in _channels.values() if c.device_type == ANY_DEVICE}
        found.update({c.name: c for c in _channels.values() if c.device_type == device_type})
    return tuple(sorted(found.values(), key=_rank_of))


def usable_channels(device_type: str) -> tuple[Channel, ...]:
    """Of :func:`channels_for`, those that can be used here."""
    return tuple(c for c in channels_for(device_type) if not c.why_unusable())


def find_channel(device_type: str, name: str) -> Channel:
    """The usable channel of this name.

    Raises:
        ArgumentError: no such channel for the device type, or it cannot be used here; says why.
    """
    known = channels_for(device_type)
    for channel in known:
        if channel.name == name:
            reason = channel.why_unusable()
            if reason:
                raise ArgumentError("channel", "a usable channel", f"{name!r}: {reason}")
            return channel
    listed = ", ".join(c.name for c in known) or "none"
    why = f" ({_NOT_PROVIDED[name]})" if name in _NOT_PROVIDED else ""
    raise ArgumentError(
        "channel", f"one that serves {device_type!r} devices: {listed}", f"{name!r}{why}"
    )


def select_channel(
    device_type: str, backend: str, elsewhere: Mapping[str, str] | None = None
) -> Channel:
    """The best usable channel; an AccelWarning, once, tells why a better one was passed over.

    Args:
        elsewhere: names of channels that other ranks cannot use, and why.

    Raises:
        CapabilityError: none is usable; the message has every channel's reason.
    """
    passed_over: list[str] = []
    for channel in channels_for(device_type):
        reason = channel.why_unusable() or (elsewhere or {}).get(channel.name, "")
        if not reason:
            if passed_over:
                _warn_once(device_type, channel.name, "; ".join(passed_over))
            return channel
        passed_over.append(f"{channel.name}: {reason}")
    cure = "; ".join(passed_over) or f"no channel serves {device_type!r} devices"
    raise CapabilityError("collectives", backend, f"make a channel usable ({cure})")


def _warn_once(device_type: str, name: str, reasons: str) -> None:
    key = (device_type, name, reasons)
    with _lock:
        if key in _warned:
            return
        _warned.add(key)
    warnings.warn(
        f"collectives on {device_type!r} use {name!r} because a better channel is not usable "
        f"({reasons})",
        AccelWarning,
        stacklevel=4,
    )


def _gloo_unusable() -> str:
    import torch.distributed as dist

    if not dist.is_available():
        return "this torch was built without torch.distributed"
    if not dist.is_gloo_available():
        return "this torch was built without gloo"
    return ""


register_channel(
    Channel(
        "gloo",
        ANY_DEVICE,
        staged=True,
        unusable=_gloo_unusable,
        summary="TCP through host memory; every device type",
    )
)
