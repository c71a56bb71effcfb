"""The layers as the caller has them in host memory: checked once, laid out for the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..capabilities import Capability
from ..errors import ArgumentError, DeviceError, DTypeError, OverlapError
from ..strided_boxes import Dim, Region, box_meets_itself, boxes_meet, close_pairs, merged_box

if TYPE_CHECKING:
    import torch

    from ..backend import Backend

__all__ = ["HostLayer", "check_write_back", "host_layers", "pageable_layers"]

#: Where a tensor of a layer may begin in its slot: what vectorised kernels and copy engines like.
ALIGNMENT = 256

_FORMS = "a tensor, or a list, tuple or dict of tensors"


@dataclass(frozen=True)
class HostLayer:
    """One layer: its tensors in order, and where each lies in a slot."""

    tensors: tuple[torch.Tensor, ...]
    names: tuple[str, ...]  #: of the tensors in messages: ``layers[3]['w']``
    offsets: tuple[int, ...]  #: bytes into the slot
    nbytes: int  #: what is copied
    room: int  #: bytes of a slot that it takes, padding included
    form: Any = None  #: None: a tensor; ``tuple``; or the keys of a dict

    def shaped(self, tensors: Sequence[torch.Tensor]) -> Any:
        """``tensors`` (one for each of ours) in the form in which the caller gave the layer."""
        if self.form is None:
            return tensors[0]
        if self.form is tuple:
            return tuple(tensors)
        return dict(zip(self.form, tensors, strict=True))

    def views(self, room: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Contiguous tensors of the same shapes and dtypes in ``room``, a slot's uint8 tensor."""
        return tuple(
            room[offset : offset + t.numel() * t.element_size()].view(t.dtype).view(t.shape)
            for t, offset in zip(self.tensors, self.offsets, strict=True)
        )


def host_layers(layers: object) -> tuple[HostLayer, ...]:
    """``layers`` checked and laid out.

    Raises:
        DTypeError: not a list of layers, or something in it is not a strided tensor.
        ArgumentError: no layers, or a layer without tensors.
        DeviceError: a tensor that is not in host memory.
    """
    import torch

    if isinstance(layers, torch.Tensor) or not isinstance(layers, Sequence):
        cure = "list(tensor.unbind(0))" if isinstance(layers, torch.Tensor) else "list(layers)"
        raise DTypeError("layers", "a list with an entry for each layer", _kind(layers), cure)
    if not layers:
        raise ArgumentError("layers", "at least one layer", "an empty list")
    return tuple(_layer(entry, f"layers[{i}]") for i, entry in enumerate(layers))


def check_write_back(layers: Sequence[HostLayer]) -> None:
    """OverlapError when two places of the layers are the same bytes.

    What is written back must not be read or written as another layer's (tied weights), nor twice.
    """
    regions: list[Region] = []
    for owner, (name, tensor) in enumerate(
        (name, tensor)
        for layer in layers
        for name, tensor in zip(layer.names, layer.tensors, strict=True)
    ):
        if not tensor.numel():
            continue
        size = tensor.element_size()
        dims: list[Dim] = [
            *((n, s * size) for n, s in zip(tensor.shape, tensor.stride(), strict=True)),
            (size, 1),
        ]
        box = merged_box(dims)
        if box_meets_itself(box):
            raise OverlapError(
                name,
                "memory of its own for every element, as write_back=True writes it",
                f"a tensor that overlaps itself: strides {tensor.stride()}",
                "tensor.contiguous()",
            )
        start = tensor.data_ptr()
        end = start + 1 + sum((n - 1) * s for n, s in box)
        regions.append(Region(start, end, owner, name, box))
    for a, b in close_pairs(sorted(regions)):
        if boxes_meet(a.dims, b.dims, b.start - a.start):
            raise OverlapError(
                b.name,
                f"no byte of {a.name}, as write_back=True writes both",
                "common memory",
                "give each layer memory of its own, or leave write_back out",
            )


def pageable_layers(backend: Backend, layers: Sequence[HostLayer]) -> int:
    """How many layers have a tensor that is not page-locked; 0 where that makes no difference."""
    if backend.device.type == "cpu":
        return 0
    pool = backend.pinned if Capability.PINNED in backend.capabilities else None
    return sum(
        any(
            t.numel() and not (t.is_pinned() or (pool is not None and pool.is_pinned(t)))
            for t in layer.tensors
        )
        for layer in layers
    )


def _layer(entry: object, name: str) -> HostLayer:
    import torch

    form: Any
    if isinstance(entry, torch.Tensor):
        form, given = None, [(name, entry)]
    elif isinstance(entry, Mapping):
        form, given = tuple(entry), [(f"{name}[{k!r}]", v) for k, v in entry.items()]
    elif isinstance(entry, Sequence) and not isinstance(entry, (str, bytes)):
        form, given = tuple, [(f"{name}[{i}]", v) for i, v in enumerate(entry)]
    else:
        raise DTypeError(name, _FORMS, _kind(entry))
    if not given:
        raise ArgumentError(name, _FORMS, "none")
    tensors = tuple(_host_tensor(tensor, label) for label, tensor in given)
    sizes = [t.numel() * t.element_size() for t in tensors]
    offsets = tuple(_offsets(sizes))
    return HostLayer(
        tensors,
        tuple(label for label, _ in given),
        offsets,
        sum(sizes),
        offsets[-1] + sizes[-1],
        form,
    )


def _offsets(sizes: Sequence[int]) -> Iterator[int]:
    at = 0
    for size in sizes:
        yield at
        at += -(-size // ALIGNMENT) * ALIGNMENT


def _host_tensor(tensor: object, name: str) -> torch.Tensor:
    import torch

    if not isinstance(tensor, torch.Tensor):
        raise DTypeError(name, "a tensor", _kind(tensor))
    if tensor.device.type != "cpu":
        raise DeviceError(
            name, "a tensor in host memory", f"a tensor on {tensor.device}", "tensor.cpu()"
        )
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise DTypeError(name, "a strided tensor", f"{tensor.layout}, {tensor.dtype}")
    if tensor.is_conj() or tensor.is_neg():
        # Its memory does not hold its values.
        raise DTypeError(
            name, "a tensor as it lies in memory", "a lazily conjugated or negated view",
            "tensor.resolve_conj().resolve_neg()",
        )  # fmt: skip
    return tensor.detach()


def _kind(given: object) -> str:
    return type(given).__name__
