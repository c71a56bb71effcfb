"""The ``codec`` fixture: draws symbols, puts them on the device, codes them, compares.

A case module says ``codec = codec_work`` once and asks for ``codec``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from accel import ArgumentError, AsyncError, Backend, Capability

from . import codec_expected
from .byte_compare import assert_same_bytes
from .codec_expected import Array
from .guards import Guards
from .refusals import assert_untouched

if TYPE_CHECKING:
    from accel.providers import KVKernels

__all__ = ["SPREADS", "Codec", "Encoded", "codec_work"]

#: How symbols may be spread over the bins.
SPREADS = ("uniform", "bell", "one", "rare", "by-channel")


class Codec:
    """One case's symbols and calls."""

    def __init__(self, backend: Backend, rng: torch.Generator, guarded: Guards) -> None:
        self.backend = backend
        self.rng = rng
        self.guarded = guarded
        self.kv: KVKernels = backend.kv

    def draw(self, shape: Sequence[int], bins: int, spread: str = "bell") -> torch.Tensor:
        """uint8 symbols on the host, all below ``bins``."""
        shape = list(shape)
        if spread == "one":
            return torch.full(shape, bins - 1, dtype=torch.uint8)
        if spread == "rare":
            rare = torch.rand(shape, generator=self.rng) < 0.02
            return torch.where(rare, bins - 1, bins // 2).to(torch.uint8)
        if spread == "uniform":
            return torch.randint(bins, shape, generator=self.rng).to(torch.uint8)
        width = torch.full(shape[2:], bins / 6)
        middle = torch.full(shape[2:], bins / 2)
        if spread == "by-channel":
            width *= torch.rand(shape[2:], generator=self.rng)
            middle += torch.randn(shape[2:], generator=self.rng) * bins / 6
        values = torch.randn(shape, generator=self.rng) * width + middle
        return values.clamp(0, bins - 1).to(torch.uint8)

    def put(self, host: torch.Tensor) -> torch.Tensor:
        """The same on the device, between guard bands."""
        return self.guarded(list(host.shape), host.dtype, init=host)

    def put_model(self, model: Array) -> torch.Tensor:
        """A model made here, on the device."""
        return self.put(torch.from_numpy(model.astype(np.int16)))

    def put_bytes(self, data: bytes) -> torch.Tensor:
        """Encoded data made here, on the device."""
        return self.put(torch.frombuffer(bytearray(data), dtype=torch.uint8))

    def settle(self) -> None:
        """Wait until the device is idle."""
        if Capability.STREAMS in self.backend.capabilities:
            self.backend.streams.synchronize()

    def model(self, symbols: torch.Tensor, bins: int, *, exact: bool = False) -> torch.Tensor:
        """``entropy_model``, and wait."""
        model = self.kv.entropy_model(symbols, bins, exact=exact)
        self.settle()
        return model

    def encode(self, symbols: torch.Tensor, model: torch.Tensor) -> bytes:
        """``encode``, checked to be a vector of bytes on the symbols' device."""
        data = self.kv.encode(symbols, model)
        assert data.dtype == torch.uint8 and data.dim() == 1, f"{data.dtype} {list(data.shape)}"
        assert data.device == symbols.device, f"the data is on {data.device}"
        return bytes(data.tolist())

    def decoded(
        self, data: torch.Tensor, model: torch.Tensor, shape: Sequence[int]
    ) -> torch.Tensor:
        """What ``decode`` writes over poison between guard bands."""
        out = self.guarded(list(shape))
        self.kv.decode(data, model, out)
        self.settle()
        return out

    def check_round_trip(self, symbols: torch.Tensor, bins: int, *, exact: bool = False) -> None:
        """Model, bytes and symbols are what the specification says, for ``symbols`` (host)."""
        wanted_model = codec_expected.model_of(codec_expected.pull(symbols), bins, exact=exact)
        there = self.put(symbols)
        model = self.model(there, bins, exact=exact)
        self.check_model(model, wanted_model)
        wanted = codec_expected.encode(codec_expected.pull(symbols), wanted_model)
        self.check_bytes(self.encode(there, model), wanted)
        out = self.decoded(self.put_bytes(wanted), model, symbols.shape)
        assert_same_bytes(out, symbols, "decoded symbols")
        assert_same_bytes(there, symbols, "symbols after encoding")

    def check_model(self, model: torch.Tensor, wanted: Array) -> None:
        """Equal, entry by entry."""
        assert model.dtype == torch.int16, f"a model of {model.dtype}"
        assert list(model.shape) == list(wanted.shape), f"a model of shape {list(model.shape)}"
        wrong = (codec_expected.pull(model) != wanted).nonzero()
        if len(wrong[0]):
            at = [int(axis[0]) for axis in wrong]
            raise AssertionError(
                f"model: {len(wrong[0])} of {wanted.size} entries differ, the first at {at}:"
                f" expected {wanted[tuple(at)]}, given {model[tuple(at)].item()}"
            )

    def check_bytes(self, given: bytes, wanted: bytes) -> None:
        """Equal, byte by byte."""
        a, b = (torch.frombuffer(bytearray(d), dtype=torch.uint8) for d in (given, wanted))
        assert_same_bytes(a, b, "encoded data")

    def refused(
        self,
        error: type[ArgumentError] | tuple[type[ArgumentError], ...],
        argument: str | tuple[str, ...],
        call: Callable[[], object],
        *watched: torch.Tensor,
    ) -> ArgumentError:
        """``call`` raises ``error``, at the latest when the device is idle, and writes nothing."""

        def call_and_wait() -> None:
            try:
                call()
                self.settle()
            except AsyncError as late:
                if isinstance(late.__cause__, ArgumentError):
                    raise late.__cause__ from late
                raise

        return assert_untouched(error, argument, call_and_wait, *watched, settle=self.settle)


class Encoded:
    """Sound symbols ``[2, 50, 40]``, their model and data, and an output to decode into."""

    shape = (2, 50, 40)
    bins = 16  #: of the model; symbols are below 14

    def __init__(self, codec: Codec) -> None:
        self.host = codec.draw(self.shape, self.bins - 2)
        self.host_model = codec_expected.model_of(codec_expected.pull(self.host), self.bins)
        self.bytes = codec_expected.encode(codec_expected.pull(self.host), self.host_model)
        self.symbols = codec.put(self.host)
        self.model = codec.put_model(self.host_model)
        self.data = codec.put_bytes(self.bytes)
        self.out = codec.guarded(self.shape)


@pytest.fixture
def codec_work(backend: Backend, rng: torch.Generator, guarded: Guards) -> Codec:
    """This case's symbols and calls."""
    return Codec(backend, rng, guarded)
