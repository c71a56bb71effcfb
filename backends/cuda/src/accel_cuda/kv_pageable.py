"""KV movement where the device cannot reach the host's side: pageable memory, and host to host.

The call blocks, as copies of pageable memory do: it waits for the stream, then moves the tokens
through torch, a layer and plane at a time. A kernel never sees such an address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel.errors import DeviceError, ShapeError, SlotError
from accel.kv.checks import check_cache, check_mapping
from accel.kv.overlap import check_bytes
from accel.kv.slots import block_slots, check_slots, gather_slots
from accel.kv.write import plan_write

if TYPE_CHECKING:
    import torch

    from accel.kv import KVCache
    from accel.kv.overlap import Sharing
    from accel.kv.plan import TransferPlan
    from accel.providers import Stream, Streams

__all__ = ["PageablePair", "PageableWriter"]

_DEVICES = ("cuda", "cpu")


class PageablePair:
    """Stands in for the native ``Pair``."""

    def __init__(
        self, plan: TransferPlan, shared: Sharing, unit_tokens: int, streams: Streams
    ) -> None:
        self._plan, self._shared = plan, shared
        self._unit_tokens, self._streams = unit_tokens, streams

    def transfer(
        self,
        src: KVCache,
        dst: KVCache,
        src_slots: torch.Tensor,
        dst_slots: torch.Tensor,
        stream: Stream | None,
        names: tuple[str, str] = ("src_slots", "dst_slots"),
    ) -> None:
        check_cache("src", src, _DEVICES)
        check_cache("dst", dst, _DEVICES)
        wait_for(stream, self._streams)
        read, write = check_slots(
            on_host(src_slots, names[0]),
            on_host(dst_slots, names[1]),
            self._plan.src_units,
            self._plan.dst_units,
            same_memory=self._shared == "same",
            names=names,
        )
        if self._shared == "partial":
            check_bytes(self._plan, src.pointers, dst.pointers, read, write, names[1])
        if self._unit_tokens > 1:
            read = block_slots(read, self._unit_tokens)
            write = block_slots(write, self._unit_tokens)
        for sources, targets in zip(src.views, dst.views, strict=True):
            for source, target in zip(sources, targets, strict=True):
                store(target, write, load(source, read))
        settle(src.device, dst.device)

    def map_blocks(
        self, src: KVCache, dst: KVCache, mapping: torch.Tensor, stream: Stream | None
    ) -> None:
        old, new = check_mapping(mapping)
        names = ("block_mapping[:, 0]", "block_mapping[:, 1]")
        self.transfer(src, dst, old, new, stream, names)

    def gather(
        self,
        src: KVCache,
        dst: KVCache,
        block_table: torch.Tensor,
        seq_lens: torch.Tensor,
        seq_starts: torch.Tensor | None,
        stream: Stream | None,
    ) -> None:
        import torch

        wait_for(stream, self._streams)
        starts = None if seq_starts is None else on_host(seq_starts, "seq_starts")
        slots = gather_slots(
            on_host(block_table, "block_table"),
            on_host(seq_lens, "seq_lens"),
            starts,
            src.block_size,
            src.blocks,
        )
        if len(slots) > dst.slots:
            raise SlotError("seq_lens", f"at most {dst.slots} tokens in all", len(slots))
        names = ("block_table", "seq_lens")
        self.transfer(src, dst, slots, torch.arange(len(slots)), stream, names)


class PageableWriter:
    """Stands in for the native ``Writer`` of a cache in host memory."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def add(self, *_: Any) -> None:
        """Plans are core's, and kept there."""

    def write(
        self,
        cache: KVCache,
        layer: int,
        key: torch.Tensor,
        value: torch.Tensor | None,
        slot_mapping: torch.Tensor,
        stream: Stream | None,
    ) -> None:
        import torch

        check_cache("cache", cache, ("cpu",))
        made = plan_write(cache, layer, key, value)
        wait_for(stream, self._streams)
        listed = on_host(slot_mapping, "slot_mapping")
        count = len(listed) if isinstance(listed, torch.Tensor) and listed.dim() == 1 else 0
        if count > len(key):
            raise ShapeError("slot_mapping", f"at most {len(key)} indices as key has", count)
        rows, slots = check_slots(
            torch.arange(count), listed, len(key), cache.slots, names=("key", "slot_mapping")
        )
        given = [key] if value is None else [key, value]
        pointers = [cache.pointers[layer * cache.planes + p] + at for p, at in made.target]
        sources = [t.data_ptr() for t in given]
        check_bytes(made.plan, sources, pointers, rows, slots, "slot_mapping")
        parts = [_integers(t)[rows] for t in given]
        if cache.planes < len(parts):  # the two parts of one plane's head dim
            parts = [torch.cat([p.reshape(len(p), -1, p.shape[-1]) for p in parts], dim=-1)]
        for view, part in zip(cache.views[layer], parts, strict=True):
            store(view, slots, part)


def wait_for(stream: Stream | None, streams: Streams) -> None:
    """Until all work that the stream has now is done."""
    (streams.current() if stream is None else stream).synchronize()


def on_host(indices: Any, name: str = "indices") -> Any:
    """Indices of the device brought to the host; what is no tensor stays for the checks to refuse.

    Raises:
        DeviceError: a tensor that is elsewhere.
    """
    import torch

    if not isinstance(indices, torch.Tensor) or indices.device.type == "cpu":
        return indices
    if indices.device.type != "cuda":
        raise DeviceError(name, "an index tensor on the host or on the device", indices.device)
    return indices.cpu()


def load(view: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    """``[n, heads, D1, D0]`` of integers, on the view's device."""
    size, slots = view.shape[1], slots.to(view.device)
    return _integers(view)[slots // size, slots % size]


def store(view: torch.Tensor, slots: torch.Tensor, tokens: torch.Tensor) -> None:
    """Write ``[n, ...]`` with the elements of a token in row-major order."""
    size, slots = view.shape[1], slots.to(view.device)
    rows = tokens.reshape(len(slots), *view.shape[2:])
    _integers(view)[slots // size, slots % size] = rows.to(view.device)


def settle(*devices: torch.device) -> None:
    """Until torch's own work on these devices is done: what comes next may be on any stream."""
    import torch

    for device in devices:
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()


def _integers(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory as integers of the element's size, which torch moves bit for bit."""
    import torch

    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    kind = kinds.get(tensor.element_size())
    return tensor if kind is None else tensor.detach().view(kind)
