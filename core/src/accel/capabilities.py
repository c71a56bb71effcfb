"""What a backend can do, and how: a fixed vocabulary with a level for each word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

from .errors import ArgumentError

__all__ = ["Capabilities", "Capability", "Level"]


class Level(str, Enum):
    """How a capability is provided, best first."""

    NATIVE = "native"  #: the device's own engine, or a kernel written for it
    COMPOSED = "composed"  #: from torch operators on the device
    STAGED = "staged"  #: through host memory
    UNSUPPORTED = "unsupported"  #: the call raises CapabilityError

    def __str__(self) -> str:
        return self.value


class Capability(str, Enum):
    """One testable promise. ``doc`` says what conformance checks for it."""

    doc: str

    def __new__(cls, value: str, doc: str) -> Capability:
        member = str.__new__(cls, value)
        member._value_ = value
        member.doc = doc
        return member

    def __str__(self) -> str:
        return str(self.value)

    STREAMS = "streams", "streams run work in FIFO order and independently of one another"
    STREAM_PRIORITY = "streams.priority", "when streams compete, the higher priority goes first"
    STREAM_CALLBACK = "streams.callback", "host callbacks run in stream order"
    STREAM_HANDLE = "streams.handle", "a raw stream handle can be handed out and adopted"
    STREAM_TORCH = "streams.torch", "torch stream objects can be handed out and adopted"
    STREAM_GRAPHS = "streams.graphs", "a stream's work can be captured once and replayed"

    EVENTS = "events", "events snapshot at record; waits and queries are exact"
    EVENT_TIMING = "events.timing", "elapsed_time between two timing events, in milliseconds"
    EVENT_IPC = "events.ipc", "an event recorded in one process can be waited for in another"

    PINNED = "pinned", "a caching pool of page-locked host memory with statistics and a bound"
    PINNED_REGISTER = "pinned.register", "existing host memory can be page-locked and released"
    PINNED_NUMA = "pinned.numa", "pinned memory can be placed on a NUMA node"
    PINNED_HUGE_PAGES = "pinned.huge_pages", "pinned memory can be backed by huge pages"
    PINNED_SHARED = "pinned.shared", "pinned segments can be opened by other processes"

    COPY = "memcpy.copy", "blocking and stream-ordered copies between tensors of any strides"
    COPY_RAW = "memcpy.raw", "copies and fills of raw (pointer, bytes, device) references"
    COPY_BATCH = "memcpy.batch", "many copies in one call"
    COPY_2D = "memcpy.2d", "pitched copies of rows"
    COPY_PEER = "memcpy.peer", "copies between two devices of this type"
    FILL = "memcpy.fill", "byte fill"
    MEMORY_INFO = "memcpy.memory_info", "free and total memory of the device"

    COLLECTIVES = "collectives", "all_reduce, broadcast, gather, scatter and the rest of the group"
    COLLECTIVE_TIMEOUT = (
        "collectives.timeout",
        "a missing rank raises, naming rank and operation, within the timeout",
    )
    P2P = "collectives.p2p", "send, recv, isend, irecv and batched point to point"

    KV_TRANSFER = "kv.transfer", "token-grain transfer between any two layouts"
    KV_TRANSFER_BLOCKS = "kv.transfer_blocks", "block-grain transfer between any two layouts"
    KV_WRITE = "kv.write", "write new keys and values into their slots"
    KV_COPY_BLOCKS = "kv.copy_blocks", "copy blocks within a cache"
    KV_SWAP_BLOCKS = "kv.swap_blocks", "move blocks between two caches"
    KV_GATHER = "kv.gather", "gather sequences by block table"
    KV_WRITE_QUANTIZED = "kv.write_quantized", "write keys and values as fp8 or int8 codes"
    KV_CONVERT = "kv.convert", "convert a whole cache to another dtype"
    KV_QUANTIZE = "kv.quantize", "quantise to int8, int4 and fp8 with scales, and back"
    KV_ROPE = "kv.rope_reposition", "rotate cached keys from old to new positions"
    KV_UPLOAD = "kv.upload_small", "upload metadata that the caller may change at once"
    KV_ENTROPY = "kv.entropy", "entropy coding of quantised KV: entropy_model, encode, decode"

    @classmethod
    def parse(cls, value: Capability | str) -> Capability:
        """The member with this value; ArgumentError lists the vocabulary otherwise."""
        try:
            return cls(value)  # type: ignore[call-arg]
        except ValueError:
            known = ", ".join(str(c.value) for c in cls)
            raise ArgumentError("capability", f"one of: {known}", repr(value)) from None


class Capabilities(Mapping[Capability, Level]):
    """A frozen map from every capability to its level; what is not claimed is UNSUPPORTED.

    ``capability in capabilities`` is true when the level is not UNSUPPORTED, and iteration yields
    the supported ones only.
    """

    __slots__ = ("_levels",)

    def __init__(self, levels: Mapping[Capability, Level] | None = None) -> None:
        self._levels = {
            Capability.parse(c): Level(v)
            for c, v in (levels or {}).items()
            if Level(v) is not Level.UNSUPPORTED
        }

    def __getitem__(self, capability: Capability | str) -> Level:
        return self._levels.get(Capability.parse(capability), Level.UNSUPPORTED)

    def __contains__(self, capability: object) -> bool:
        return capability in self._levels

    def __iter__(self) -> Iterator[Capability]:
        return (c for c in Capability if c in self._levels)

    def __len__(self) -> int:
        return len(self._levels)

    def __hash__(self) -> int:
        return hash(frozenset(self._levels.items()))

    def __repr__(self) -> str:
        return f"Capabilities({', '.join(f'{c}={self._levels[c]}' for c in self)})"

    def merged(self, other: Mapping[Capability, Level]) -> Capabilities:
        """These capabilities and ``other``'s; ``other`` wins where both speak."""
        return Capabilities({**self._levels, **dict(other)})
