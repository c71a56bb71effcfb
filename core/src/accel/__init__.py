"""One contract for moving LLM state (KV cache, weights, activations) on any accelerator.

    import accel

    backend = accel.get_backend()          # or get_backend("cpu"), get_backend(device="cuda:1")
    with backend.stream(backend.streams.create()):
        backend.memcpy.copy_async(dst, src)

Importing this package imports neither torch nor any plugin, so that it can say what is wrong where
``import torch`` itself fails.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .backend import Backend, Override
from .backend_info import BackendInfo, Probe
from .capabilities import Capabilities, Capability, Level
from .discovery import available_backends, explain, get_backend
from .errors import (
    AccelError,
    AccelWarning,
    AmbiguousBackendError,
    ArgumentError,
    AsyncError,
    BackendNotFoundError,
    BackendUnavailableError,
    CapabilityError,
    CodecError,
    CollectiveError,
    CollectiveTimeoutError,
    DeviceError,
    DiscoveryError,
    DTypeError,
    FreedError,
    HookSpecVersionError,
    LayoutError,
    NotReadyError,
    OutOfBlocksError,
    OutOfMemoryError,
    OverlapError,
    PluginError,
    ShapeError,
    SizeError,
    SlotError,
    StateError,
    StreamRaceError,
    StreamRaceWarning,
    TorchImportError,
)
from .hookspecs import HOOKSPEC_VERSION, OLDEST_HOOKSPEC_VERSION, hookimpl

if TYPE_CHECKING:
    from .discovery.explanation import CandidateReport, Explanation
    from .kv import KVCache, KVLayout
    from .kv.pool import KVPool
    from .pipeline import LayerPipeline, LayerReport, PipelineReport
    from .providers import (
        Collectives,
        Communicator,
        Event,
        Events,
        KVKernels,
        Memcpy,
        MemoryInfo,
        MemRef,
        Operand,
        P2POp,
        PinnedBuffer,
        PinnedMemory,
        PinnedStats,
        Provider,
        Stream,
        Streams,
        Work,
    )
    from .sanitizer import StreamSanitizer
    from .staging import HostStaging, StagedCopy, copy_stream
    from .torch_import import import_torch

__all__ = [
    "HOOKSPEC_VERSION",
    "OLDEST_HOOKSPEC_VERSION",
    "AccelError",
    "AccelWarning",
    "AmbiguousBackendError",
    "ArgumentError",
    "AsyncError",
    "Backend",
    "BackendInfo",
    "BackendNotFoundError",
    "BackendUnavailableError",
    "CandidateReport",
    "Capabilities",
    "Capability",
    "CapabilityError",
    "CodecError",
    "CollectiveError",
    "CollectiveTimeoutError",
    "Collectives",
    "Communicator",
    "DTypeError",
    "DeviceError",
    "DiscoveryError",
    "Event",
    "Events",
    "Explanation",
    "FreedError",
    "HookSpecVersionError",
    "HostStaging",
    "KVCache",
    "KVKernels",
    "KVLayout",
    "KVPool",
    "LayerPipeline",
    "LayerReport",
    "LayoutError",
    "Level",
    "MemRef",
    "Memcpy",
    "MemoryInfo",
    "NotReadyError",
    "Operand",
    "OutOfBlocksError",
    "OutOfMemoryError",
    "OverlapError",
    "Override",
    "P2POp",
    "PinnedBuffer",
    "PinnedMemory",
    "PinnedStats",
    "PipelineReport",
    "PluginError",
    "Probe",
    "Provider",
    "ShapeError",
    "SizeError",
    "SlotError",
    "StagedCopy",
    "StateError",
    "Stream",
    "StreamRaceError",
    "StreamRaceWarning",
    "StreamSanitizer",
    "Streams",
    "TorchImportError",
    "Work",
    "available_backends",
    "copy_stream",
    "explain",
    "get_backend",
    "get_include",
    "hookimpl",
    "import_torch",
]

#: Imported at first use: plugins and callers need some of these, discovery none.
_LAZY = {
    "CandidateReport": "discovery.explanation",
    "Explanation": "discovery.explanation",
    "HostStaging": "staging",
    "KVCache": "kv",
    "KVLayout": "kv",
    "LayerPipeline": "pipeline",
    "LayerReport": "pipeline",
    "PipelineReport": "pipeline",
    "KVPool": "kv.pool",
    "StagedCopy": "staging",
    "copy_stream": "staging",
    "StreamSanitizer": "sanitizer",
    "import_torch": "torch_import",
    **dict.fromkeys(
        (
            "Collectives",
            "Communicator",
            "Event",
            "Events",
            "KVKernels",
            "MemRef",
            "Memcpy",
            "MemoryInfo",
            "Operand",
            "P2POp",
            "PinnedBuffer",
            "PinnedMemory",
            "PinnedStats",
            "Provider",
            "Stream",
            "Streams",
            "Work",
        ),
        "providers",
    ),
}


def get_include() -> str:
    """The directory of accel's C and C++ headers, for ``#include <accel/...>`` in a plugin."""
    import os

    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "include")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
        globals()[name] = value
        return value
    if name == "__version__":
        from importlib.metadata import version

        return version("accel-core")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
