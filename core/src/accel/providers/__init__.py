"""The six areas of the contract: what a backend provides and a framework calls.

Each area is a base class. A plugin subclasses it and overrides what its device can do; a member
that it leaves alone raises :class:`accel.CapabilityError`, so a later release of the contract can
add members without breaking a plugin. ``Stream``, ``Event`` and ``Communicator`` are protocols:
a plugin's own classes, which may be native, only need the members.
"""

from .base import Provider
from .collectives import Collectives, Communicator, P2POp, Work
from .events import Event, Events
from .kv import KVKernels
from .kv_convert import KVConvert
from .kv_quantize import KVQuantize
from .kv_rope import KVRope
from .kv_upload import KVUpload
from .memcpy import Memcpy, MemoryInfo, MemRef, Operand
from .pinned import PinnedBuffer, PinnedMemory, PinnedStats
from .streams import Graph, Stream, Streams

__all__ = [
    "Collectives",
    "Communicator",
    "Event",
    "Events",
    "Graph",
    "KVConvert",
    "KVKernels",
    "KVQuantize",
    "KVRope",
    "KVUpload",
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
]
