"""KVPool: a paged KV cache made from a memory budget, and who holds which of its blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..capabilities import Capability
from ..errors import (
    ArgumentError,
    CapabilityError,
    DTypeError,
    LayoutError,
    OutOfMemoryError,
    SizeError,
)
from .block_references import BlockReferences
from .cache import KVCache
from .layout import KVLayout

if TYPE_CHECKING:
    import torch

    from ..backend import Backend
    from ..providers import Event, Stream

__all__ = ["KVPool"]

_EVENTS_CURE = "release blocks when their work is done, without an event"


class KVPool:
    """The KV cache of one model on one device, and its blocks' reference counts.

        pool = accel.KVPool(
            backend, 0.8, layers=32, heads=8, head_dim=128, dtype=torch.bfloat16
        )
        blocks = pool.allocate(4)               # [0, 1, 2, 3]
        pool.retain(blocks[:2])                 # a second sequence shares the prefix
        blocks = pool.make_writable(blocks)     # copies the two, keeps the others
        pool.release(blocks, after=stream)      # free when the stream's work so far is done

    Blocks are taken lowest first, then the last released first, so that runs stay together.

    A reference that is released ``after`` some work still counts against writing in place until
    that work is done: :meth:`make_writable` then copies, since the work may be reading. So does the
    copy that :meth:`make_writable` itself queues.

    Every method that raises has changed nothing. Methods may be called by several threads; not from
    finalizers. Keep the pool while work on its tensors is under way.

    Args:
        backend: where the tensors are, and whose ``kv.copy_blocks`` copies.
        budget: bytes for the tensors; or a share of the memory that is free now, above 0.0 and up
            to 1.0, which needs ``memcpy.memory_info``. Allocators may round each tensor up: leave
            a little for that.
        layers, heads, head_dim: of the model. MLA: one head, of latent and rope together.
        dtype: of the elements.
        block_size: tokens of a block.
        layout: as :class:`KVCache` takes it: axis letters, or a preset's name.
        planes: 2 for keys and values, 1 for what is one tensor of both (MLA, packed content).
            By default what the layout says: 2 where it has a K axis.

    Raises:
        SizeError: the budget is less than one block.
        OutOfMemoryError: the device does not have the budget.
        CapabilityError: a share, and the backend cannot say what is free.
        ArgumentError, DTypeError, LayoutError: another argument; names it.

    Attributes:
        cache: the :class:`KVCache`; uninitialised.
        blocks, block_size: how many, and tokens in each.
        bytes_per_token, bytes_per_block: over all layers and planes.
        nbytes: of all blocks; at most the budget.
    """

    def __init__(
        self,
        backend: Backend,
        budget: int | float,
        *,
        layers: int,
        heads: int,
        head_dim: int,
        dtype: torch.dtype,
        block_size: int = 16,
        layout: KVLayout | str = "vllm_nhd",
        planes: int | None = None,
    ) -> None:
        parsed = layout if isinstance(layout, KVLayout) else KVLayout(layout)
        planes = _planes(parsed, planes, layers)
        for name, extent in (
            ("layers", layers), ("heads", heads), ("head_dim", head_dim), ("block_size", block_size)
        ):  # fmt: skip
            if isinstance(extent, bool) or not isinstance(extent, int):
                raise DTypeError(name, "an int", repr(extent))
            if extent < 1:
                raise ArgumentError(name, "at least 1", extent)
        self.bytes_per_token = layers * planes * heads * head_dim * _itemsize(dtype)
        self.bytes_per_block = self.bytes_per_token * block_size
        given = _bytes_of(budget, backend)
        self.blocks = given // self.bytes_per_block
        if not self.blocks:
            raise SizeError(
                "budget", f"at least the {self.bytes_per_block} bytes of one block", given,
                "give more, or make blocks smaller (block_size)",
            )  # fmt: skip
        self.backend = backend
        self.block_size = block_size
        self.nbytes = self.blocks * self.bytes_per_block
        self.cache = self._allocate_cache(parsed, layers, heads, head_dim, dtype, planes)
        self._references = BlockReferences(self.blocks)

    # --- what there is -----------------------------------------------------------------------

    @property
    def free(self) -> int:
        """Blocks that :meth:`allocate` would find now."""
        return self._references.free

    @property
    def pending(self) -> int:
        """Blocks that nobody holds any more and that come back when an event completes."""
        return self._references.counts()[2]

    @property
    def used(self) -> int:
        """Blocks that somebody holds; ``free + used + pending`` is ``blocks``."""
        return self._references.counts()[1]

    def references(self, block: int) -> int:
        """How many references to ``block`` callers hold; 0 for one that is free or pending."""
        return self._references.references(block)

    # --- blocks ------------------------------------------------------------------------------

    def allocate(self, n: int) -> list[int]:
        """``n`` blocks with one reference each, their contents undefined.

        Raises:
            OutOfBlocksError: not as many are free.
            ArgumentError, DTypeError: not a number of blocks.
        """
        return self._references.take(n)

    def retain(self, blocks: Iterable[int]) -> None:
        """One more reference to each block: another sequence shares it.

        Raises:
            SlotError, FreedError, DTypeError: not blocks that are allocated.
        """
        self._references.retain(blocks)

    def release(self, blocks: Iterable[int], after: Event | Stream | None = None) -> None:
        """Give up one reference to each block, one for each time it is named.

        Args:
            after: the blocks may be in use by queued work until this event completes, or this
                stream's work so far; the call does not wait for it, the blocks do. An event must
                not be recorded again before: give a stream where it might be.

        Raises:
            SlotError, FreedError, DTypeError: not blocks that are allocated, or one named more
                often than it has references.
        """
        if after is None:
            self._references.give(blocks)
            return
        if hasattr(after, "record_event"):
            after = after.record_event(self._new_event())
        elif not callable(getattr(after, "query", None)):
            raise DTypeError("after", "an event or a stream of the backend, or None", repr(after))
        self._references.give(blocks, after.query)

    def make_writable(self, blocks: Iterable[int], *, stream: Stream | None = None) -> list[int]:
        """The same blocks, but copies of those that others refer to as well (copy-on-write).

        The caller's reference to a shared block goes to the copy. All copies are one call of
        ``kv.copy_blocks`` on ``stream`` (the current one if None): the copies can be read and
        written in that stream's order.

        Args:
            blocks: each once.

        Raises:
            OutOfBlocksError: fewer blocks are free than are shared; nothing was copied.
            SlotError, FreedError, DTypeError, ArgumentError: not blocks that are allocated, or one
                twice.
            CapabilityError: blocks are shared, and the backend cannot copy blocks.
        """
        result, pairs = self._references.split(blocks)
        if not pairs:
            return result
        import torch

        try:
            event = self._new_event()
            stream = self.backend.streams.current() if stream is None else stream
            self.backend.kv.copy_blocks(self.cache, torch.tensor(pairs), stream=stream)
        except BaseException:
            self._references.unsplit(pairs)
            raise
        # If this fails the device does: neither side of the copies comes back then.
        event.record(stream)
        self._references.settle(pairs, event.query)
        return result

    def __repr__(self) -> str:
        free, used, pending = self._references.counts()
        return (
            f"<accel.KVPool {self.cache.layout!r} on {self.cache.device}: {self.blocks} blocks of"
            f" {self.block_size} tokens, {self.bytes_per_block} bytes each; {free} free,"
            f" {used} used, {pending} pending>"
        )

    # --- making it ---------------------------------------------------------------------------

    def _allocate_cache(
        self, layout: KVLayout, layers: int, heads: int, head_dim: int, dtype: Any, planes: int
    ) -> KVCache:
        import torch

        try:
            return KVCache.allocate(
                layout, layers=layers, blocks=self.blocks, block_size=self.block_size,
                heads=heads, head_dim=head_dim, dtype=dtype, device=self.backend.device, kv=planes,
            )  # fmt: skip
        except (torch.OutOfMemoryError, MemoryError) as error:
            cause: BaseException = error
        except RuntimeError as error:
            # What torch's CPU allocator raises is a plain one.
            if "can't allocate memory" not in str(error):
                raise
            cause = error
        raise OutOfMemoryError(
            f"the device does not have the {self.nbytes} bytes of {self.blocks} blocks"
            f" ({cause}). Cure: give a smaller budget"
        ) from cause

    def _new_event(self) -> Event:
        if Capability.EVENTS not in self.backend.capabilities:
            raise CapabilityError(str(Capability.EVENTS), self.backend.name, _EVENTS_CURE)
        return self.backend.events.create()


def _planes(layout: KVLayout, planes: int | None, layers: int) -> int:
    axes = {*layout.outer, *layout.inner}
    if planes is None:
        planes = 2 if "K" in axes else 1
    if planes not in (1, 2):
        raise ArgumentError("planes", "2 (keys and values) or 1 (MLA, packed content)", planes)
    if planes == 2 and "K" not in axes:
        raise LayoutError(
            "layout", "a K axis for keys and values", str(layout), "give planes=1, or add the axis"
        )
    if layers != 1 and "L" not in axes:
        raise LayoutError("layout", f"an L axis for {layers} layers", str(layout))
    return planes


def _itemsize(dtype: Any) -> int:
    import torch

    if not isinstance(dtype, torch.dtype):
        raise DTypeError("dtype", "a torch.dtype", repr(dtype))
    return int(dtype.itemsize)


def _bytes_of(budget: Any, backend: Backend) -> int:
    """The budget in bytes."""
    if isinstance(budget, bool) or not isinstance(budget, (int, float)):
        raise DTypeError("budget", "bytes (int) or a share of free memory (float)", repr(budget))
    if isinstance(budget, int):
        if budget < 0:
            raise SizeError("budget", "at least 0 bytes", budget)
        return budget
    if not 0.0 < budget <= 1.0:
        raise ArgumentError(
            "budget", "a share above 0.0 and up to 1.0", budget, "give bytes as an int"
        )
    if Capability.MEMORY_INFO not in backend.capabilities:
        raise CapabilityError(
            str(Capability.MEMORY_INFO), backend.name,
            "give the budget in bytes, as an int",
        )  # fmt: skip
    return int(backend.memcpy.memory_info().free * budget)
