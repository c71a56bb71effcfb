"""Checks of an entropy coder's values: what symbols, models and encoded data on the host hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from ..errors import ArgumentError, CodecError, ShapeError
from .codec_format import DAMAGED, SCALE, Header

if TYPE_CHECKING:
    import torch

__all__ = [
    "check_encoded_model",
    "check_encoded_shape",
    "check_frequencies_of",
    "check_model_values",
    "check_symbol_values",
    "refuse_stream",
]


def check_model_values(model: torch.Tensor) -> None:
    """Every channel's frequencies rise from 0 to the scale."""
    wide = model.long()
    bad = (wide[..., 0] != 0) | (wide[..., -1] != SCALE) | (wide.diff(dim=-1) < 0).any(-1)
    if bad.any():
        layer, channel = bad.nonzero()[0].tolist()
        raise CodecError(
            "model",
            f"cumulative frequencies that rise from 0 to {SCALE}",
            f"others in layer {layer}, channel {channel}",
            "make it with entropy_model",
        )


def check_symbol_values(symbols: torch.Tensor, bins: int) -> None:
    """Every symbol is below ``bins``."""
    if bins >= 256:
        return
    outside = symbols >= bins
    if outside.any():
        layer, token, channel = outside.nonzero()[0].tolist()
        raise ArgumentError(
            "symbols",
            f"symbols below {bins}",
            f"{int(symbols[layer, token, channel])} at [{layer}, {token}, {channel}]",
        )


def check_frequencies_of(symbols: torch.Tensor, model: torch.Tensor) -> None:
    """Every symbol, below the model's bins, has a frequency in its channel."""
    if bool((model[..., 1:] != model[..., :-1]).all()):
        return
    for layer in range(symbols.shape[0]):  # a layer at a time: indices take eight times the symbols
        frequencies = model[layer].long().diff(dim=-1).transpose(0, 1)  # [bins, channels]
        missing = frequencies.gather(0, symbols[layer].long()) == 0
        if missing.any():
            token, channel = missing.nonzero()[0].tolist()
            raise ArgumentError(
                "symbols",
                "symbols with a frequency in their channel's model",
                f"{int(symbols[layer, token, channel])} at [{layer}, {token}, {channel}]",
                "make the model without exact=True, or from these symbols too",
            )


def check_encoded_shape(header: Header, shape: Sequence[int]) -> None:
    """Encoded data holds symbols of this shape, that of ``out``."""
    held = [header.split.layers, header.split.tokens, header.split.channels]
    if held != list(shape):
        raise ShapeError("out", f"{held} as data holds", list(shape))


def check_encoded_model(header: Header, bins: int, model_check: int) -> None:
    """Data was encoded with the model that has these."""
    if (header.bins, header.model_check) != (bins, model_check):
        raise CodecError(
            "model",
            "the model that data was encoded with",
            "another",
            "keep a model with what was encoded with it",
        )


def refuse_stream(index: int, why: str) -> NoReturn:
    """A stream of encoded data is not what was encoded."""
    raise CodecError("data", "sound streams", f"{why} in stream {index}", DAMAGED)
