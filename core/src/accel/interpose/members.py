"""Which calls of the contract can be stood in front of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..providers import Provider

__all__ = ["MADE_BY", "OBJECT_MEMBERS", "provider_members", "stream_position"]

#: Methods of the objects that providers hand out, by kind of object.
OBJECT_MEMBERS: dict[str, tuple[str, ...]] = {
    "stream": (
        "query", "synchronize", "wait_event", "wait_stream", "record_event", "add_callback",
        "__enter__", "__exit__",
    ),
    "event": ("record", "wait", "query", "synchronize"),
    "buffer": ("tensor", "free"),
    "communicator": (
        "all_reduce", "broadcast", "reduce", "all_gather", "reduce_scatter", "all_to_all",
        "gather", "scatter", "send", "recv", "isend", "irecv", "batch", "barrier",
    ),
}  # fmt: skip

#: Which member of which area hands out which kind of object.
MADE_BY: dict[tuple[str, str], str] = {
    **{("streams", name): "stream" for name in ("create", "default", "current")},
    **{("streams", name): "stream" for name in ("from_handle", "from_torch")},
    **{("events", name): "event" for name in ("create", "from_ipc_handle")},
    **{("pinned", name): "buffer" for name in ("allocate", "create_shared", "open_shared")},
    ("collectives", "communicator"): "communicator",
}

_NOT_CALLS = frozenset({"close", "unsupported"})


def provider_members(provider: Provider) -> Iterator[str]:
    """Names of the provider's public methods: the area's, and those that the plugin added."""
    for name in dir(provider):
        if not name.startswith("_") and name not in _NOT_CALLS:
            value = getattr(provider, name)
            if callable(value) and not isinstance(value, type):
                yield name


def stream_position(provider: Provider, name: str) -> int | None:
    """Where a method takes ``stream``: its position, -1 by keyword only, None not at all.

    The area's base class decides; a member that only the plugin has is asked itself.
    """
    for candidate in (*_base_methods(provider, name), getattr(provider, name)):
        try:
            parameters = list(inspect.signature(candidate).parameters.values())
        except (TypeError, ValueError):  # native, without a signature
            continue
        parameters = [p for p in parameters if p.name != "self"]
        for i, p in enumerate(parameters):
            if p.name == "stream":
                return -1 if p.kind is inspect.Parameter.KEYWORD_ONLY else i
        return None
    return None


def _base_methods(provider: Provider, name: str) -> Iterator[Callable[..., Any]]:
    for base in type(provider).__mro__:
        if base.__module__.startswith("accel.providers.") and name in vars(base):
            yield vars(base)[name]
