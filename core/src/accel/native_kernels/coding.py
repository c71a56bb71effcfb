"""Entropy coding by a native engine: arguments are checked here, the work is done there."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from ..kv.codec_arguments import (
    check_apart,
    check_bins,
    check_encode_out,
    check_encoded,
    check_model,
    check_symbols,
)
from ..kv.codec_format import encode_bound
from ..providers.kv_coding import KVCoding

if TYPE_CHECKING:
    import torch

    from ..providers import Stream

__all__ = ["Coding"]


class Coding(KVCoding):
    """``entropy_model``, ``encode`` and ``decode``.

    A backend sets ``native_coding``: something with ``entropy_model(symbols, model, exact,
    stream)``, ``encode(symbols, model, out, stream)``, which returns the bytes used, and
    ``decode(data, model, out, stream)``. Tensors arrive there as bytes of the right shape on a
    device of ``coding_devices``.
    """

    native_coding: Any
    coding_devices: ClassVar[tuple[str, ...]]

    def entropy_model(
        self,
        symbols: torch.Tensor,
        bins: int,
        *,
        exact: bool = False,
        stream: Stream | None = None,
    ) -> torch.Tensor:
        import torch

        bins = check_bins(bins)
        symbols = check_symbols(symbols, self.coding_devices)
        shape = (symbols.shape[0], symbols.shape[2], bins + 1)
        with self._allocating(stream):
            model = torch.empty(shape, dtype=torch.int16, device=symbols.device)
        self.native_coding.entropy_model(symbols, model, bool(exact), stream)
        return model

    def encode(
        self,
        symbols: torch.Tensor,
        model: torch.Tensor,
        *,
        out: torch.Tensor | None = None,
        stream: Stream | None = None,
    ) -> torch.Tensor:
        import torch

        symbols = check_symbols(symbols, self.coding_devices)
        layers, _, channels = symbols.shape
        model = check_model(model, layers, channels, self.coding_devices)
        if out is not None:
            given = {"symbols": symbols, "model": model}
            target = check_encode_out(out, symbols.shape, self.coding_devices, given)
            return target[: self._encode(symbols, model, target, stream)]
        bound = encode_bound(symbols.shape)
        with self._allocating(stream):
            target = torch.empty(bound, dtype=torch.uint8, device=symbols.device)
        return self._fitted(target[: self._encode(symbols, model, target, stream)], stream)

    def decode(
        self,
        data: torch.Tensor,
        model: torch.Tensor,
        out: torch.Tensor,
        *,
        stream: Stream | None = None,
    ) -> None:
        data = check_encoded(data, self.coding_devices)
        target = check_symbols(out, self.coding_devices, "out", written=True)
        model = check_model(model, target.shape[0], target.shape[2], self.coding_devices)
        check_apart(target, "out", {"data": data, "model": model})
        self.native_coding.decode(data, self._laid_out(model, stream), target, stream)

    # What backends may do in other ways.

    def _allocating(self, stream: Stream | None) -> AbstractContextManager[object]:
        """While tensors for work on ``stream`` are made."""
        del stream
        return nullcontext()

    def _laid_out(self, model: torch.Tensor, stream: Stream | None) -> torch.Tensor:
        """``model`` as the native part can read it."""
        del stream
        return model

    def _encode(
        self,
        symbols: torch.Tensor,
        model: torch.Tensor,
        target: torch.Tensor,
        stream: Stream | None,
    ) -> int:
        """Bytes used of ``target``, once they are there."""
        used: int = self.native_coding.encode(symbols, model, target, stream)
        return used

    def _fitted(self, data: torch.Tensor, stream: Stream | None) -> torch.Tensor:
        """``data`` in memory of its own size: what is left over of the bound does not stay."""
        del stream
        return data.clone()
