"""Entropy coding by the native engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.kv.codec_arguments import (
    check_apart,
    check_bins,
    check_encode_out,
    check_encoded,
    check_model,
    check_symbols,
)
from accel.providers.kv_coding import KVCoding

from ._native import coding as _native

if TYPE_CHECKING:
    import torch

    from accel.providers import Stream

__all__ = ["CpuKVCoding"]

_HOST = ("cpu",)


class CpuKVCoding(KVCoding):
    """32 lanes a stream in vector registers (AVX-512, AVX2 or what there is), streams on all
    threads."""

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
        symbols = check_symbols(symbols, _HOST)
        layers, _, channels = symbols.shape
        model = torch.empty(layers, channels, bins + 1, dtype=torch.int16)
        _native.entropy_model(symbols, model, bool(exact), stream)
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

        symbols = check_symbols(symbols, _HOST)
        layers, tokens, channels = symbols.shape
        model = check_model(model, layers, channels, _HOST)
        if out is not None:
            given = {"symbols": symbols, "model": model}
            target = check_encode_out(out, symbols.shape, _HOST, given)
            return target[: _native.encode(symbols, model, target, stream)]
        # Memory that is never written costs nothing; what is left over does not stay.
        target = torch.empty(_native.encode_bound(layers, tokens, channels), dtype=torch.uint8)
        return target[: _native.encode(symbols, model, target, stream)].clone()

    def decode(
        self,
        data: torch.Tensor,
        model: torch.Tensor,
        out: torch.Tensor,
        *,
        stream: Stream | None = None,
    ) -> None:
        data = check_encoded(data, _HOST)
        target = check_symbols(out, _HOST, "out", written=True)
        model = check_model(model, target.shape[0], target.shape[2], _HOST)
        check_apart(target, "out", {"data": data, "model": model})
        _native.decode(data, model, target, stream)
