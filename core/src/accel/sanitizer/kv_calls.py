"""What KV kernels read and write. Arguments are as in :class:`accel.providers.KVKernels`.

Caches are noted slot by slot. Operands in host memory that a call reads before it returns (index
tensors, scales, the source of ``upload_small``) are read by the calling thread, and may be changed
by it afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .extents import tensor_box

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from ..kv import KVCache
    from .access import When
    from .recorder import Recorder

__all__ = ["KV_CALLS", "other_member"]


def transfer(
    r: Recorder,
    call: str,
    src: KVCache,
    dst: KVCache,
    src_slots: torch.Tensor,
    dst_slots: torch.Tensor,
    *,
    grain: str = "token",
    stream: Any = None,
) -> None:
    when = r.submit(stream, call)
    a = _index(r, when, src_slots, "src_slots", stream)
    b = _index(r, when, dst_slots, "dst_slots", stream)
    _move(r, when, src, dst, a, b, _block(src, dst) if grain == "block" else 1)


def write(
    r: Recorder,
    call: str,
    cache: KVCache,
    layer: int,
    key: torch.Tensor,
    value: torch.Tensor | None,
    slot_mapping: torch.Tensor,
    *,
    key_scale: Any = None,
    value_scale: Any = None,
    stream: Any = None,
) -> None:
    when = r.submit(stream, call)
    slots = _index(r, when, slot_mapping, "slot_mapping", stream)
    for name, scale in (("key_scale", key_scale), ("value_scale", value_scale)):
        _metadata(r, when, scale, name)
    for name, rows in (("key", key), ("value", value)):
        if rows is not None and len(slots):
            r.tensor(when, rows, False, name, tensor_box(rows[: len(slots)]))
    r.slots(when, cache, slots[slots >= 0], True, "cache", layer=layer)


def copy_blocks(
    r: Recorder, call: str, cache: KVCache, block_mapping: torch.Tensor, *, stream: Any = None
) -> None:
    swap_blocks(r, call, cache, cache, block_mapping, stream=stream)


def swap_blocks(
    r: Recorder,
    call: str,
    src: KVCache,
    dst: KVCache,
    block_mapping: torch.Tensor,
    *,
    stream: Any = None,
) -> None:
    when = r.submit(stream, call)
    pairs = _index(r, when, block_mapping, "block_mapping", stream).reshape(-1, 2)
    _move(r, when, src, dst, pairs[:, 0], pairs[:, 1], _block(src, dst))


def gather(
    r: Recorder,
    call: str,
    src: KVCache,
    dst: KVCache,
    block_table: torch.Tensor,
    seq_lens: torch.Tensor,
    *,
    seq_starts: torch.Tensor | None = None,
    stream: Any = None,
) -> None:
    when = r.submit(stream, call)
    table = _index(r, when, block_table, "block_table", stream)
    lens = _index(r, when, seq_lens, "seq_lens", stream)
    starts = np.zeros_like(lens)
    if seq_starts is not None:
        starts = _index(r, when, seq_starts, "seq_starts", stream)
    size = src.block_size
    rows = [
        table[i, tokens // size] * size + tokens % size
        for i, (start, count) in enumerate(zip(starts.tolist(), lens.tolist(), strict=True))
        for tokens in (np.arange(start, start + count),)
    ]
    taken = np.concatenate(rows) if rows else np.empty(0, dtype=np.int64)
    _move(r, when, src, dst, taken, np.arange(len(taken)), 1)


def convert(
    r: Recorder,
    call: str,
    src: KVCache,
    dst: KVCache,
    *,
    src_scale: Any = None,
    dst_scale: Any = None,
    stream: Any = None,
) -> None:
    when = r.submit(stream, call)
    _metadata(r, when, src_scale, "src_scale")
    _metadata(r, when, dst_scale, "dst_scale")
    r.slots(when, src, np.arange(src.slots), False, "src")
    r.slots(when, dst, np.arange(dst.slots), True, "dst")


def rope_reposition(
    r: Recorder,
    call: str,
    keys: torch.Tensor | KVCache,
    old_positions: torch.Tensor,
    new_positions: torch.Tensor,
    rope: Any,
    *,
    slots: torch.Tensor | None = None,
    layer: int | None = None,
    stream: Any = None,
) -> None:
    from ..kv import KVCache

    when = r.submit(stream, call)
    _metadata(r, when, old_positions, "old_positions")
    _metadata(r, when, new_positions, "new_positions")
    table = getattr(rope, "cos_sin_cache", None)
    if table is not None:
        r.tensor(when, table, False, "rope.cos_sin_cache")
    if not isinstance(keys, KVCache):
        r.tensor(when, keys, True, "keys")
    elif slots is not None:
        taken = _index(r, when, slots, "slots", stream)
        r.slots(when, keys, taken[taken >= 0], True, "keys", layer=layer, plane=0)


def quantize(
    r: Recorder,
    call: str,
    x: torch.Tensor,
    codes: torch.Tensor,
    scales: torch.Tensor,
    offsets: torch.Tensor | None = None,
    *,
    spec: Any,
    stream: Any = None,
) -> None:
    when = r.submit(stream, call)
    r.tensor(when, x, False, "x")
    for name, t in (("codes", codes), ("scales", scales), ("offsets", offsets)):
        if t is not None:
            r.tensor(when, t, True, name)


def dequantize(
    r: Recorder,
    call: str,
    codes: torch.Tensor,
    scales: torch.Tensor,
    offsets: torch.Tensor | None,
    out: torch.Tensor,
    *,
    spec: Any,
    stream: Any = None,
) -> None:
    when = r.submit(stream, call)
    for name, t in (("codes", codes), ("scales", scales), ("offsets", offsets)):
        if t is not None:
            r.tensor(when, t, False, name)
    r.tensor(when, out, True, "out")


def entropy_model(
    r: Recorder, call: str, symbols: torch.Tensor, *_: Any, stream: Any = None, **__: Any
) -> None:
    r.tensor(r.submit(stream, call), symbols, False, "symbols")


def encode(
    r: Recorder,
    call: str,
    symbols: torch.Tensor,
    model: torch.Tensor,
    *,
    out: torch.Tensor | None = None,
    stream: Any = None,
) -> None:
    when = r.submit(stream, call)
    r.tensor(when, symbols, False, "symbols")
    r.tensor(when, model, False, "model")
    if out is not None:
        r.tensor(when, out, True, "out")
    r.learn(r.stream(stream).snapshot())  # the call waits for the stream


def decode(
    r: Recorder,
    call: str,
    data: torch.Tensor,
    model: torch.Tensor,
    out: torch.Tensor,
    *,
    stream: Any = None,
) -> None:
    when = r.submit(stream, call)
    r.tensor(when, data, False, "data")
    r.tensor(when, model, False, "model")
    r.tensor(when, out, True, "out")


def upload_small(
    r: Recorder, call: str, dst: torch.Tensor, src: torch.Tensor, *, stream: Any = None
) -> None:
    when = r.submit(stream, call)
    _metadata(r, when, src, "src")
    r.tensor(when, dst, True, "dst")


def other_member(r: Recorder, call: str, *args: Any, stream: Any = None, **kwargs: Any) -> None:
    """A member that this sanitizer does not know: it reads its tensors and caches, at least."""
    import torch

    from ..kv import KVCache

    when = r.submit(stream, call)
    for name, value in (*enumerate(args), *kwargs.items()):
        argument = name if isinstance(name, str) else f"argument {name}"
        if isinstance(value, torch.Tensor):
            r.tensor(when, value, False, argument)
        elif isinstance(value, KVCache):
            r.slots(when, value, np.arange(value.slots), False, argument)


#: Takes the recorder, the call's name for people, and the call's own arguments.
KV_CALLS: dict[str, Callable[..., None]] = {
    f.__name__: f
    for f in (
        transfer, write, copy_blocks, swap_blocks, gather, convert, rope_reposition, quantize,
        dequantize, entropy_model, encode, decode, upload_small,
    )
}  # fmt: skip


def _metadata(r: Recorder, when: When, value: Any, argument: str) -> None:
    """A small operand: read at the call where it is in host memory, else in stream order."""
    import torch

    if isinstance(value, torch.Tensor):
        at_call = value.device.type == "cpu"
        r.tensor(r.on_host(when.call, at_call=True) if at_call else when, value, False, argument)


def _index(
    r: Recorder, when: When, index: torch.Tensor, argument: str, stream: Any
) -> NDArray[np.int64]:
    """An index tensor's values. Those on a device are fetched, which waits for the stream."""
    _metadata(r, when, index, argument)
    if index.device.type != "cpu":
        with r.backend.streams.use(stream if stream is not None else r.backend.streams.current()):
            index = index.cpu()
    values: NDArray[np.int64] = index.detach().numpy().astype(np.int64)
    return values


def _block(src: KVCache, dst: KVCache) -> int:
    """Tokens of a block at block grain: a flat cache of block size 1 adopts the other's."""
    return max(src.block_size, dst.block_size)


def _move(
    r: Recorder,
    when: When,
    src: KVCache,
    dst: KVCache,
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    block: int,
) -> None:
    keep = (a >= 0) & (b >= 0)
    if not keep.all():
        a, b = a[keep], b[keep]
    r.slots(when, src, _tokens(a, block), False, "src")
    r.slots(when, dst, _tokens(b, block), True, "dst")


def _tokens(units: NDArray[np.int64], block: int) -> NDArray[np.int64]:
    if block == 1:
        return units
    return (units[:, None] * block + np.arange(block)).ravel()
