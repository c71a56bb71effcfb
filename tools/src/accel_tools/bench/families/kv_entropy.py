"""Entropy coding of quantised KV: ``entropy_model``, ``encode`` and ``decode``.

The payload is the symbols, one byte each. No torch operator does this: in place of torch stand
general-purpose compressors on the same bytes, on one thread, as a chunk would be given to them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from accel import Capability
from accel.kv import encode_bound

from ..kv_setting import KVSetting
from ..site import Site
from ..workload import Case, TorchWay, Workload

if TYPE_CHECKING:
    import torch

__all__ = ["entropy_coding"]

BINS = (16, 32)
CHUNK = 256  #: tokens that engines store and send as one
MOST = 8192  #: tokens: up to there models have the simple form that they are checked against


def entropy_coding(site: Site, setting: KVSetting) -> Iterator[Workload]:
    """Models, encoding and decoding of a chunk, and of all tokens."""
    del site
    for tokens in sorted({min(CHUNK, setting.tokens), min(MOST, setting.tokens)}):
        for bins, what in product(BINS, ("entropy_model", "encode", "decode")):
            if bins == BINS[-1] or tokens <= CHUNK:
                yield _workload(what, setting, tokens, bins)


@dataclass(frozen=True)
class _Coded:
    """Symbols on the device, with what belongs to them."""

    symbols: torch.Tensor
    bins: int
    model: torch.Tensor
    data: torch.Tensor
    checking: torch.device  #: where results are compared

    @classmethod
    def make(cls, site: Site, shape: tuple[int, int, int], bins: int, what: str) -> _Coded:
        made = _symbols(shape, bins, site.generator_there(what))
        symbols = site.empty("device", shape, made.dtype)
        symbols.copy_(made)
        model = site.backend.kv.entropy_model(symbols, bins)
        data = site.backend.kv.encode(symbols, model)
        return cls(symbols, bins, model, data, site.checking)

    def there(self) -> torch.Tensor:
        """The symbols where results are compared."""
        return self.symbols.to(self.checking)

    def labels(self) -> dict[str, str | int]:
        """Bits of a symbol: as encoded, and of the order-0 entropy."""
        count = self.symbols.numel()
        entropy = _entropy_bits(self.there(), self.bins)
        return {
            "bits_per_symbol": f"{8 * self.data.numel() / count:.4f}",
            "entropy_per_symbol": f"{entropy / count:.4f}",
            "model_bytes": self.model.numel() * 2,
        }


def _workload(what: str, setting: KVSetting, tokens: int, bins: int) -> Workload:
    shape = (setting.shape.layers * setting.shape.planes, tokens, setting.shape.elements)
    nbytes = shape[0] * shape[1] * shape[2]
    name = f"{what}, {bins} bins, {tokens} tokens"

    def prepare(site: Site) -> Case:
        coded = _Coded.make(site, shape, bins, name)
        wanted = site.torch_ways and tokens <= CHUNK
        ways = _compressors(what, coded.symbols) if wanted else ()
        call, reset, check = _PREPARE[what](site, coded)
        return Case(call, reset, check, "device", "device", ways, labels=coded.labels())

    labels = setting.labels(bins=bins) | {"tokens": tokens, "dtype": "uint8"}
    return Workload(name, (Capability.KV_ENTROPY,), nbytes, 8 * nbytes, prepare, labels)


Prepared = tuple[Callable[[], object], Callable[[], None], Callable[[], str]]


def _model_case(site: Site, coded: _Coded) -> Prepared:
    made: list[torch.Tensor] = []

    def call() -> None:
        made[:] = [site.backend.kv.entropy_model(coded.symbols, coded.bins)]

    def check() -> str:
        ends = made[0].to(site.checking)[..., 1:]
        if not ends.equal(_model_of(coded.there(), coded.bins).to(ends.dtype)):
            return "other frequencies than those of the symbols"
        return "" if not made[0][..., 0].cpu().any() else "frequencies that do not begin at 0"

    return call, made.clear, check


def _encode_case(site: Site, coded: _Coded) -> Prepared:
    import torch

    out = site.empty("device", encode_bound(tuple(coded.symbols.shape)), torch.uint8)
    size = coded.data.numel()

    def check() -> str:
        if not out[:size].cpu().equal(coded.data.cpu()):
            return "other bytes than encode returned without out"
        decoded = torch.zeros_like(coded.symbols)
        site.backend.kv.decode(out[:size], coded.model, decoded)
        site.synchronize()
        return "" if decoded.cpu().equal(coded.symbols.cpu()) else "it decodes to other symbols"

    call = partial(site.backend.kv.encode, coded.symbols, coded.model, out=out)
    return call, partial(site.poison, out), check


def _decode_case(site: Site, coded: _Coded) -> Prepared:
    out = site.empty("device", coded.symbols.shape, coded.symbols.dtype)

    def check() -> str:
        return "" if out.cpu().equal(coded.symbols.cpu()) else "other symbols than were encoded"

    call = partial(site.backend.kv.decode, coded.data, coded.model, out)
    return call, partial(site.poison, out), check


_PREPARE: dict[str, Callable[[Site, _Coded], Prepared]] = {
    "entropy_model": _model_case,
    "encode": _encode_case,
    "decode": _decode_case,
}


def _compressors(what: str, symbols: torch.Tensor) -> tuple[TorchWay, ...]:
    """zlib, and zstd where it is installed, at their fastest levels."""
    if what == "entropy_model":
        return ()
    raw = symbols.cpu().numpy().tobytes()
    pairs: list[tuple[str, Callable[[], bytes], Callable[[bytes], bytes]]] = [
        ("zlib -1", partial(zlib.compress, raw, 1), zlib.decompress)
    ]
    try:
        import zstandard
    except ImportError:
        pass
    else:
        compress = zstandard.ZstdCompressor(level=1).compress
        pairs.append(("zstd -1", partial(compress, raw), zstandard.ZstdDecompressor().decompress))
    if what == "encode":
        return tuple(TorchWay(name, encode, allocates=True) for name, encode, _ in pairs)
    return tuple(
        TorchWay(name, partial(decode, encode()), allocates=True) for name, encode, decode in pairs
    )


def _symbols(shape: tuple[int, int, int], bins: int, generator: torch.Generator) -> torch.Tensor:
    """Bell-shaped, every channel as wide as it likes."""
    import torch

    layers, tokens, channels = shape
    there = generator.device
    symbols = torch.empty(shape, dtype=torch.uint8, device=there)
    for layer in range(layers):
        width = torch.rand(channels, generator=generator, device=there) * bins / 8 + bins / 24
        values = torch.randn(tokens, channels, generator=generator, device=there)
        symbols[layer] = (values * width + bins / 2).clamp_(0, bins - 1)
    return symbols


def _counts(symbols: torch.Tensor, bins: int) -> torch.Tensor:
    """Of every bin: ``[layers, channels, bins]``."""
    import torch

    return torch.stack([(symbols == b).sum(1) for b in range(bins)], dim=-1)


def _entropy_bits(symbols: torch.Tensor, bins: int) -> float:
    """Order-0, per layer and channel."""
    counts = _counts(symbols, bins).double()
    shares = counts / symbols.shape[1]
    return -float((counts * shares.clamp(min=1e-30).log2()).sum())


def _model_of(symbols: torch.Tensor, bins: int) -> torch.Tensor:
    """Where each bin starts, for up to 16352 tokens: docs/kv-codec.md."""
    counts = _counts(symbols, bins)
    unused = counts == 0
    shared = (1 << 14) - unused.sum(-1, keepdim=True)
    return counts.cumsum(-1) * shared // symbols.shape[1] + unused.cumsum(-1)
