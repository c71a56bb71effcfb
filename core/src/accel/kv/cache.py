"""KVCache: an engine's tensors under one description."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    FreedError,
    LayoutError,
    ShapeError,
    SizeError,
)
from .geometry import Geometry, Plane
from .layout import KVLayout

if TYPE_CHECKING:
    import torch

__all__ = ["KVCache"]

_uids = itertools.count(1)


class KVCache:
    """The KV cache of one engine, resolved once to addresses and strides.

    Building it costs some microseconds a layer; keep it for as long as the tensors live. It holds
    the tensors, and never copies them.

    Args:
        tensors: one tensor, or sequences nested as the layout's axes left of ``|`` say: for
            ``"L | ..."`` one tensor per layer, for ``"K L | ..."`` two sequences of layers. Any
            strides (blocks padded apart, views into one allocation), the same for every layer.
            All of one device. K and V may differ in head count, head dim and dtype when they are
            separate tensors.
        layout: a :class:`KVLayout`, its text, or a preset's name.
        block_size: for layouts with a T axis, the tokens of a block (default 1); must divide T.
            Other layouts know it; giving another value is an error.

    Raises:
        LayoutError: the tensors do not fit the layout.
        ShapeError, DTypeError, DeviceError: the tensors do not fit each other; names the tensor.

    Attributes:
        layers, blocks, block_size: extents; ``slots`` is ``blocks * block_size``.
        planes: 2 where the cache has a K axis of two, 1 for MLA and packed content.
        device: where the tensors are.
        geometry: strides, shared by all caches of the same shape.
        pointers: ``array('Q')`` of base addresses, ``[layer * planes + plane]``.
        tensors: what the cache was made from, flat.
        tensor_pointers: ``array('Q')`` of the tensors' addresses when the cache was made.
        uid: a number no other cache of this process has.
    """

    __slots__ = (
        "__weakref__",
        "block_size",
        "blocks",
        "device",
        "geometry",
        "layers",
        "layout",
        "planes",
        "pointers",
        "self_overlap",
        "slots",
        "tensor_pointers",
        "tensors",
        "uid",
        "views",
    )

    tensors: tuple[torch.Tensor, ...]
    views: tuple[tuple[torch.Tensor, ...], ...]
    self_overlap: str | None  # None until accel.kv.overlap has looked; empty when it does not

    def __init__(
        self, tensors: Any, layout: KVLayout | str, *, block_size: int | None = None
    ) -> None:
        parsed = layout if isinstance(layout, KVLayout) else KVLayout(layout)
        flat = list(_flatten(tensors, parsed.outer, "tensors"))
        self._set(
            str(parsed),
            tuple(t for _, t in flat),
            _canonical_views(flat, parsed, block_size),
            parsed.paged,
        )

    @classmethod
    def join(cls, *caches: KVCache) -> KVCache:
        """One cache whose planes are those of ``caches``, in order.

        For caches whose planes have layouts, extents or dtypes of their own: vLLM's vectorised
        keys beside its values, MLA planes of two ranks, values and scales of one page. All must
        have the same layers, blocks and block size.
        """
        if not caches:
            raise ArgumentError("caches", "at least one cache", "none")
        first = caches[0]
        for i, c in enumerate(caches):
            if not isinstance(c, KVCache):
                raise DTypeError(f"caches[{i}]", "a KVCache", type(c).__name__)
            ours = (first.layers, first.blocks, first.block_size)
            theirs = (c.layers, c.blocks, c.block_size)
            if ours != theirs:
                raise ShapeError(f"caches[{i}]", f"(layers, blocks, block size) {ours}", theirs)
        self = cls.__new__(cls)
        self._set(
            " ; ".join(c.layout for c in caches),
            tuple(t for c in caches for t in c.tensors),
            tuple(
                tuple(v for c in caches for v in c.views[layer]) for layer in range(first.layers)
            ),
            any(c.geometry.paged for c in caches),
        )
        return self

    @classmethod
    def allocate(
        cls,
        layout: KVLayout | str,
        *,
        layers: int,
        blocks: int,
        block_size: int,
        heads: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        kv: int = 2,
        split: int | None = None,
    ) -> KVCache:
        """An uninitialised cache in ``layout``.

        Args:
            kv: extent of the K axis, where the layout has one.
            split: extent of D0 where the layout splits D; 16 bytes' worth by default.
        """
        import torch

        parsed = layout if isinstance(layout, KVLayout) else KVLayout(layout)
        extents = {
            "layers": layers, "block_size": block_size, "heads": heads, "head_dim": head_dim,
            "kv": kv, "split": 1 if split is None else split,
        }  # fmt: skip
        for name, extent in extents.items():
            if extent < 1:
                raise ArgumentError(name, "at least 1", extent)
        if blocks < 0:
            raise ArgumentError("blocks", "at least 0", blocks)
        if "H" not in parsed.inner:
            head_dim, heads = head_dim * heads, 1
        inner = split or max(1, 16 // dtype.itemsize)
        if "D0" in parsed.inner and head_dim % inner:
            raise ShapeError("split", f"a divisor of the head dim {head_dim}", inner)
        sizes = {
            "L": layers, "K": kv, "B": blocks, "S": block_size, "T": blocks * block_size,
            "H": heads, "D": head_dim, "D1": head_dim // inner, "D0": inner,
        }  # fmt: skip
        shape = parsed.tensor_shape(sizes)

        def nest(axes: tuple[str, ...]) -> Any:
            if not axes:
                return torch.empty(shape, dtype=dtype, device=device)
            return [nest(axes[1:]) for _ in range(sizes[axes[0]])]

        flat_size = None if parsed.paged else block_size
        return cls(nest(parsed.outer), parsed, block_size=flat_size)

    def select_layers(self, layers: int | slice | Sequence[int]) -> KVCache:
        """A cache of some layers (one, a slice, or a list), sharing the memory."""
        if isinstance(layers, slice):
            wanted = list(range(self.layers))[layers]
        else:
            wanted = [layers] if isinstance(layers, int) else list(layers)
        for layer in wanted:
            if not isinstance(layer, int):
                raise DTypeError("layers", "an int, a slice or a sequence of ints", repr(layer))
            if not 0 <= layer < self.layers:
                raise ArgumentError("layers", f"layers from 0 to {self.layers - 1}", layer)
        if not wanted:
            raise ArgumentError("layers", "at least one layer", "none")
        part = type(self).__new__(type(self))
        views = tuple(self.views[i] for i in wanted)
        storages = {v.untyped_storage().data_ptr() for row in views for v in row}
        tensors = tuple(t for t in self.tensors if t.untyped_storage().data_ptr() in storages)
        part._set(self.layout, tensors, views, self.geometry.paged)
        return part

    @property
    def bytes_per_token(self) -> int:
        """Payload bytes of one token over all layers and planes."""
        return self.layers * sum(p.elements * p.itemsize for p in self.geometry.planes)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the first plane."""
        return self.views[0][0].dtype

    def view(self, layer: int, plane: int = 0) -> torch.Tensor:
        """One plane as ``[blocks, block_size, heads, head_dim]``, sharing the memory.

        Where D is split the last axis becomes two: ``[..., D1, D0]``.
        """
        full = self.views[layer][plane]
        return full.squeeze(-2) if full.shape[-2] == 1 else full

    def check_alive(self, argument: str) -> None:
        """Raise FreedError when a tensor's memory was released or moved since then."""
        for i, tensor in enumerate(self.tensors):
            if tensor.data_ptr() != self.tensor_pointers[i]:
                raise FreedError(
                    argument,
                    "tensors that still have their memory",
                    f"tensor {i} was freed, resized or given other memory",
                    "build a new KVCache after reallocating",
                )
        for layer, row in enumerate(self.views):
            for plane, view in enumerate(row):
                if view.data_ptr() != self.pointers[layer * self.planes + plane]:
                    raise FreedError(
                        argument,
                        "tensors that still have their memory",
                        f"layer {layer} plane {plane} was freed or resized",
                        "build a new KVCache after reallocating",
                    )

    def __repr__(self) -> str:
        return (
            f"KVCache({self.layout!r}, layers={self.layers}, planes={self.planes}, "
            f"blocks={self.blocks}, block_size={self.block_size}, device={self.device})"
        )

    def _set(
        self,
        layout: str,
        tensors: tuple[torch.Tensor, ...],
        views: tuple[tuple[torch.Tensor, ...], ...],
        paged: bool,
    ) -> None:
        self.layout, self.tensors, self.views = layout, tensors, views
        self.layers, self.planes = len(views), len(views[0])
        self.blocks, self.block_size = views[0][0].shape[0], views[0][0].shape[1]
        self.slots = self.blocks * self.block_size
        self.device = tensors[0].device
        for i, t in enumerate(tensors):
            if t.device != self.device:
                raise DeviceError(f"tensors[{i}]", f"device {self.device}", t.device)
        self.geometry = Geometry(
            self.layers,
            self.blocks,
            self.block_size,
            paged,
            tuple(_plane(views, p) for p in range(self.planes)),
        )
        self.pointers = array("Q", [v.data_ptr() for row in views for v in row])
        self.tensor_pointers = array("Q", [t.data_ptr() for t in tensors])
        self.self_overlap = None
        self.uid = next(_uids)


def _flatten(
    tensors: Any, axes: tuple[str, ...], name: str, index: tuple[int, ...] = ()
) -> Iterator[tuple[tuple[int, ...], torch.Tensor]]:
    """``(index per outer axis, tensor)`` of nested sequences; checks the nesting."""
    import torch

    if not axes:
        if not isinstance(tensors, torch.Tensor):
            raise DTypeError(name, "a tensor", type(tensors).__name__)
        if tensors.layout is not torch.strided:
            raise DTypeError(name, "a strided tensor", str(tensors.layout))
        yield index, tensors
        return
    if isinstance(tensors, torch.Tensor) or not isinstance(tensors, Sequence):
        kind = {"L": "layers", "K": "K and V"}[axes[0]]
        raise LayoutError(name, f"a sequence ({kind})", type(tensors).__name__)
    if not tensors:
        raise LayoutError(name, "at least one tensor", "an empty sequence")
    lengths = {len(t) for t in tensors} if len(axes) > 1 else {0}
    if len(lengths) > 1:
        raise LayoutError(name, "sequences of the same length", sorted(lengths))
    for i, t in enumerate(tensors):
        yield from _flatten(t, axes[1:], f"{name}[{i}]", (*index, i))


def _canonical_views(
    flat: list[tuple[tuple[int, ...], torch.Tensor]], layout: KVLayout, block_size: int | None
) -> tuple[tuple[torch.Tensor, ...], ...]:
    """Views ``[layer][plane]``, each ``[B, S, H, D1, D0]``."""
    views: dict[tuple[int, int], torch.Tensor] = {}
    for index, tensor in flat:
        name = "tensors" + "".join(f"[{i}]" for i in index)
        outer = dict(zip(layout.outer, index, strict=True))
        if tensor.dim() != len(layout.inner):
            raise ShapeError(
                name, f"{len(layout.inner)} axes ({' '.join(layout.inner)})", tuple(tensor.shape)
            )
        for layer, plane, view in _split(tensor, layout, name, block_size):
            views[outer.get("L", layer), outer.get("K", plane)] = view
    layers = 1 + max(layer for layer, _ in views)
    planes = 1 + max(plane for _, plane in views)
    return tuple(tuple(views[la, p] for p in range(planes)) for la in range(layers))


def _split(
    tensor: torch.Tensor, layout: KVLayout, name: str, block_size: int | None
) -> Iterator[tuple[int, int, torch.Tensor]]:
    """``(layer, plane, view)`` for the L and K axes inside one tensor."""
    axes = list(layout.inner)
    for i in reversed(range(len(axes))):
        if axes[i] == "1":
            if tensor.shape[i] != 1:
                raise ShapeError(name, f"extent 1 on axis {i}", tuple(tensor.shape))
            tensor = tensor.squeeze(i)
            del axes[i]
    if "T" in axes:
        at = axes.index("T")
        tokens, size = tensor.shape[at], block_size or 1
        if size < 1 or tokens % size:
            raise SizeError("block_size", f"a divisor of {name}'s {tokens} tokens", size)
        tensor = tensor.unflatten(at, (tokens // size, size))  # type: ignore[no-untyped-call]
        axes[at : at + 1] = ["B", "S"]
    elif block_size is not None and tensor.shape[axes.index("S")] != block_size:
        raise SizeError("block_size", tensor.shape[axes.index("S")], block_size)
    if "D" in axes:
        at = axes.index("D")
        tensor = tensor.unsqueeze(at)
        axes[at : at + 1] = ["D1", "D0"]
    for axis in ("L", "K", "H"):
        if axis not in axes:
            tensor = tensor.unsqueeze(0)
            axes.insert(0, axis)
    ordered = tensor.permute([axes.index(a) for a in ("L", "K", "B", "S", "H", "D1", "D0")])
    for extent, axis in zip(ordered.shape, ("L", "K", "B", "S", "H", "D1", "D0"), strict=True):
        if extent == 0 and axis != "B":
            raise ShapeError(name, f"a non-zero extent of axis {axis}", tuple(tensor.shape))
    for layer in range(ordered.shape[0]):
        for plane in range(ordered.shape[1]):
            yield layer, plane, ordered[layer, plane]


def _plane(views: tuple[tuple[torch.Tensor, ...], ...], plane: int) -> Plane:
    """The strides of one plane, the same in every layer."""
    first = views[0][plane]
    blocks, block_size = views[0][0].shape[:2]
    for layer, row in enumerate(views):
        view, name = row[plane], f"layer {layer} plane {plane}"
        if view.shape[:2] != (blocks, block_size):
            raise ShapeError(name, f"{blocks} blocks of {block_size}", tuple(view.shape[:2]))
        if view.shape != first.shape:
            raise ShapeError(name, f"{tuple(first.shape)} as in layer 0", tuple(view.shape))
        if view.dtype != first.dtype:
            raise DTypeError(name, f"{first.dtype} as in layer 0", view.dtype)
        # The stride of an axis of one means nothing.
        pairs = zip(first.shape, view.stride(), first.stride(), strict=True)
        if any(n > 1 and ours != theirs for n, ours, theirs in pairs):
            raise LayoutError(name, f"strides {first.stride()} as in layer 0", view.stride())
    size = first.element_size()
    extents, strides = first.shape, [s * size for s in first.stride()]
    dims = tuple((n, s) for n, s in zip(extents[2:], strides[2:], strict=True) if n > 1)
    return Plane(str(first.dtype).removeprefix("torch."), size, strides[0], strides[1], dims)
